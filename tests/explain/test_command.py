"""``acutance explain`` on a small picture: the PNG, the numbers, and what is wrong in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("matplotlib")

from PIL import Image

from acutance import model
from acutance.cli import main
from acutance.explain import command
from acutance.explain.picture import Explained
from acutance.geometry import Frame


def explain(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *map(str, arguments)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    pixels = (np.hypot(*(np.indices((40, 50)) - 20)) < 12) * 90 + rng.integers(60, 80, (40, 50))
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "disc.png")
    return tmp_path / "disc.png"


def test_a_picture_and_its_numbers(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = explain(capsys, picture, "--at", "20,31", "--modality", "US")
    assert status == 0, err
    with Image.open(tmp_path / "disc-explained.png") as made:
        assert made.size == (1430, 902) and len(set(made.convert("RGB").getdata())) > 500
    halo = model.choose("US", 2).meta.halo
    assert "place: row 20, column 31 of the input" in out
    assert f"halo {halo}, window 6" in out and "diffusion index: " in out
    assert "largest inconsistency: " in out and out.endswith("written to disc-explained.png\n")


def test_the_maps_are_those_of_the_result(picture: Path) -> None:
    pixels = np.asarray(Image.open(picture)).astype(np.int16)
    frame = Frame(pixels, modality="CT", slope=2.0, intercept=-50.0)
    found: Explained = command.explained(frame, model.load("ct-rt-x2"), (20, 31))
    assert found.unit == "HU" and found.consistency.max() == 0  # the model's guard is on
    np.testing.assert_array_equal(found.before, 2.0 * pixels - 50)
    assert found.after.shape == found.residual.shape == (80, 100) and found.residual.any()
    assert found.attribution.error < 0.05 and found.attribution.reach() <= len(found.attribution.values) // 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--at", "20"), 2, "--at '20' is no place; wanted ROW,COL"),
        (("--at", "40,0", "--modality", "US"), 2, "--at 40,0 is not within the picture"),
        (("--at", "1,1"), 2, "no model enlarges OT by 2; name one by --model, or the --modality"),
        (("--at", "1,1", "--modality", "US", "--slice", "1"), 2, "--slice 1 is not there; it holds 1"),
        (("--at", "1,1", "--modality", "US", "--model", "no-model"), 1, "no model is named 'no-model'"),
    ],
)
def test_what_is_wrong_is_one_line(
    picture: Path,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, _, err = explain(capsys, picture, *arguments)
    assert got == status and err.count("\n") == 1 and said in err
    assert [p.name for p in tmp_path.iterdir()] == ["disc.png"]


def test_half_and_8_bits_are_not_explained() -> None:
    frame = Frame(np.zeros((20, 20), np.int16), modality="CT")
    with pytest.raises(command.ModelError, match="is fp16; wanted the fp32 file"):
        command.explained(frame, model.load("ct-rt-x2", "fp16"), (3, 4))
