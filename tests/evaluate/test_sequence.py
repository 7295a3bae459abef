"""Clips are found and scored, motion is taken out of the flicker, and a memory is what makes a sequence."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skimage")

from acutance.errors import UsageError
from acutance.evaluate import methods, section, sequence

ROLES = ("lr", "lr_previous", "previous", "state")


def scene(shift: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return a smooth pattern, moved to the right by so many pixels."""
    y, x = np.mgrid[:60, :80].astype(np.float32)
    found = 128 + 50 * np.sin(0.31 * (x - shift)) * np.cos(0.23 * y) + 30 * np.sin(0.17 * (x - shift) + 0.4 * y)
    return found + noise * np.random.default_rng(seed).standard_normal(found.shape).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A subject of five frames, one with two and one with a still."""
    image = pytest.importorskip("PIL.Image")
    out, rows = tmp_path / "data", []
    out.mkdir()
    for subject, count in (("a", 5), ("b", 2), ("c", 1)):
        for i in range(count):
            name = f"{subject}{i}.png"
            image.fromarray(np.rint(scene(2 * i, 4.0, i)).astype(np.uint8)).save(out / name)
            rows.append([name, "val", "US", subject, "source", "licence"])
    with (out / "MANIFEST.csv").open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["path", "split", "modality", "subject_id", "source", "licence"])
        table.writerows(reversed(rows))
    return out


@pytest.fixture
def remembers(make_mixer: Callable[..., Path]) -> str:
    """A model that adds a tenth of what its last result has over this picture."""
    residual = np.zeros((4, 7))
    residual[:, 0] = -0.1
    residual[np.arange(4), 2 + np.arange(4)] = 0.1
    return str(make_mixer(ROLES, {"residual": residual, "state": np.zeros((1, 7))}, "us-mean-x2", frames=2))


def test_a_clip_is_three_frames_or_more_in_the_order_of_their_names(folder: Path) -> None:
    (found,) = sequence.clips(folder, "val", 2)
    assert (found.modality, found.subject, len(found.frames)) == ("US", "a", 5)
    for i, frame in enumerate(found.frames):
        assert np.abs(frame - scene(2 * i)).mean() < 5
    assert len(sequence.clips(folder, "val", 2, most=3)[0].frames) == 3


def test_motion_is_taken_out_of_the_flicker() -> None:
    frames = [scene(2 * i) for i in range(4)]
    flows = [sequence.flow(now, before) for before, now in itertools.pairwise(frames)]
    moving = float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)]))
    assert moving > 10
    assert sequence.flicker(frames, flows, 2) < 0.15 * moving
    noisy = [f + 8 * (i % 2) for i, f in enumerate(frames)]
    assert sequence.flicker(noisy, flows, 2) == pytest.approx(8, abs=1.5)


def test_methods_are_with_and_without_a_memory(remembers: str, make_model: Callable[..., Path]) -> None:
    plain = str(make_model("us-tiny-x2", modalities=["US"]))
    found, scale = sequence.methods_of([remembers], [plain])
    assert scale == 2
    assert [(m.name, m.remembers) for m in found] == [
        ("cubic", False), ("us-tiny-x2", False), ("us-mean-x2, frame by frame", False), ("us-mean-x2", True),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="us-tiny-x2 remembers nothing"):
        sequence.methods_of([plain], [])
    with pytest.raises(UsageError, match="by 2, 3; wanted one scale"):
        sequence.methods_of([remembers], [str(make_model("us-other-x3", scale=3))])


def test_the_section_holds_every_method_and_can_be_shown(folder: Path, remembers: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "sequence.json"
    sequence.main(folder, [remembers], [], "val", out, 0, 1)
    found = section.read(out)
    assert [line[2] for line in found["lines"]] == 2 * ["truth", "cubic", "us-mean-x2, frame by frame", "us-mean-x2"]
    assert "n = 1" in found["text"]
    scores = {(s["degradation"], s["method"]): s for s in json.loads(out.read_text())["scores"]}
    for row in ("psf 0", "psf 0.8"):
        cubic, alone, whole = (scores[row, m] for m in ("cubic", "us-mean-x2, frame by frame", "us-mean-x2"))
        assert scores[row, "truth"]["psnr"] == np.inf
        # Without a last result a tenth of the picture is missing.
        assert alone["psnr"] < whole["psnr"] < cubic["psnr"]
        assert whole["flicker"] != alone["flicker"]


def test_a_model_that_gives_the_base_is_named(folder: Path, make_model: Callable[..., Path]) -> None:
    clip = sequence.clips(folder, "val", 2, most=3)[0]
    broken = sequence.Method("broken", str(make_model("us-broken-x2", modalities=["US"], poison=float("nan"))))
    with pytest.raises(UsageError, match="broken gives the base for US"):
        sequence.enlarge(broken, clip.frames, "US", 2)


def test_a_split_without_a_clip_is_refused(folder: Path, remembers: str) -> None:
    with pytest.raises(UsageError, match="no test clip of US or ENDO"):
        sequence.main(folder, [remembers], [], "test", None, 0, 1)


def test_with_no_names_the_shipped_models_are_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sequence, "shipped", lambda role: [])
    out = tmp_path / "none.json"
    sequence.main(folder, None, None, "val", out, 0, 1)
    assert "nothing is scored" in capsys.readouterr().out and not out.exists()
    assert "gray-rt-x2" in methods.plain("gray-rt-x2", {"US"})
    assert methods.plain("gray-rt-x2", {"XX"}) == []
    assert "gray-rt-x2" not in methods.shipped("state") and "gray-rt-x2" in methods.shipped("lr")
