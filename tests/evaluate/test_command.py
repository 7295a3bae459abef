"""The command: a table, a JSON file, a picture per modality, and the page that is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("matplotlib")
pytest.importorskip("skimage")

from acutance.errors import InputError, ModelError, UsageError
from acutance.evaluate import command, page, table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two CT subjects of four slices, and one X-ray."""
    folder = tmp_path / "data"
    folder.mkdir()
    y, x = np.mgrid[:112, :104]
    lines = ["path,split,modality,subject_id,source,licence"]
    for subject in ("a", "b"):
        voxels = np.full((112, 104, 4), -1000, np.int16)
        inside = (y - 56) ** 2 + (x - 52) ** 2 < 45**2
        for k in range(4):
            voxels[..., k][inside] = (100 + 200 * np.sin(x * (k + 2) / 9) * np.cos(y * ord(subject) / 400))[inside]
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 3, 1])), folder / f"{subject}.nii.gz")
        lines.append(f"{subject}.nii.gz,val,CT,{subject},x,y")
    Image.fromarray((100 + 90 * np.sin(x * y / 200)).astype(np.uint8)).save(folder / "c.png")
    lines.append("c.png,val,XR,c,x,y")
    (folder / "MANIFEST.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_table_json_picture_and_page(data: Path, tmp_path: Path, make_model: Callable[..., Path]) -> None:
    out = tmp_path / "out"
    arguments = [str(data), "--models", f"{make_model(guard='box')},base", "-o", str(out), "--jobs", "1"]
    done = CliRunner().invoke(command.app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "CT, val split, scale 2: 2 subjects, 8 slices" in done.output
    assert "X-ray, val split, scale 2: 1 subject, 1 slice" in done.output

    found = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    ct = [r for r in found["rows"] if r["modality"] == "CT" and r["degradation"] == "psf 0.8"]
    wanted = ["nearest", "bilinear", "cubic", "lanczos", "linear 5x5", "tiny-x2", "base"]
    assert [r["method"] for r in ct] == wanted
    by_name = {r["method"]: r for r in ct}
    assert by_name["tiny-x2"]["block_error"] == 0
    assert list(by_name["tiny-x2"]["against"]) == wanted[:5]
    assert by_name["base"]["against"]["cubic"]["psnr"]["mean"] == 0
    assert by_name["cubic"]["scores"] == by_name["base"]["scores"]
    assert found["models"]["tiny-x2"]["guard"] == "box"
    assert "tiny-x2" not in {r["method"] for r in found["rows"] if r["modality"] == "XR"}
    for name in ("CT", "XR"):
        with Image.open(out / f"{name}.png") as image:
            assert image.width > 900
            assert np.asarray(image.convert("L")).std() > 20

    page.main([str(out / "quality.json"), "-o", str(tmp_path / "quality.md")])
    text = (tmp_path / "quality.md").read_text(encoding="utf-8")
    assert "![CT: input, cubic, best rival, ours, truth and errors](out/CT.png)" in text
    assert "| psf 0.8 | nearest |" in text
    ct, xr = text.split("## CT")[1].split("## X-ray")
    assert "PSNR fg" in ct
    assert "PSNR fg" not in xr  # the whole frame is foreground
    assert "**tiny-x2**" in text
    assert str(tmp_path) not in text


def test_further_sections_lie_beside_the_report(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "quality"
    command.make_report(data, "val", ["base"], ["cubic"], ["XR"], jobs=1, output=out)
    section = {"title": "Coverage", "text": "Aim: 90 %.", "heads": ["subject", "inside"], "lines": [["a", "91 %"]]}
    (out / "coverage.json").write_text(json.dumps(section), encoding="utf-8")
    page.main([str(out / "quality.json"), "-o", str(tmp_path / "quality.md")])
    text = (tmp_path / "quality.md").read_text(encoding="utf-8")
    assert "## Coverage\n\nAim: 90 %.\n\n| subject | inside |\n| --- | --- |\n| a | 91 % |\n" in text
    assert "### With noise" in text

    for wrong, message in (({"heads": ["one"]}, "not 1 cells wide"), ({"title": None, "lines": 3}, "is no section")):
        (out / "coverage.json").write_text(json.dumps(section | wrong), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            page.main([str(out / "quality.json"), "-o", str(tmp_path / "quality.md")])


def test_a_generative_model_is_called_so(data: Path) -> None:
    found = command.make_report(data, "val", ["base"], ["cubic"], ["XR"], jobs=1)
    found["models"] = {"us-gan-x2": {"version": "1.0", "sha256": "0" * 64, "guard": "box", "base": "cubic"}}
    assert "adversarial" not in page.render(found, "")
    found["models"]["us-gan-x2"]["generative"] = True
    assert "**us-gan-x2** was trained with an adversarial loss: generative" in page.render(found, "")


def test_chosen_rivals_and_modalities_only(data: Path) -> None:
    found = command.make_report(data, "val", ["base"], ["cubic", "nearest"], ["XR"], jobs=1)
    assert {r["modality"] for r in found["rows"]} == {"XR"}
    assert [r["method"] for r in found["rows"]] == ["nearest", "cubic", "base"] * 4  # two rows, and two with noise


def test_models_can_be_compared_with_each_other(data: Path, make_model: Callable[..., Path]) -> None:
    ours, theirs = str(make_model()), str(make_model("other-x2", gain=0.1))
    found = command.make_report(data, "val", [ours], ["cubic", theirs], ["CT"], jobs=1, limit=1)
    row = next(r for r in found["rows"] if r["method"] == "tiny-x2")
    assert list(row["against"]) == ["cubic", "other-x2"]
    assert found["limit"] == 1
    assert "at most 1 slices, spread evenly" in page.render(found, "")


def test_a_model_that_fell_back_is_marked(data: Path, make_model: Callable[..., Path]) -> None:
    broken = str(make_model("broken-x2", poison=float("nan")))
    found = command.make_report(data, "val", [broken], ["cubic"], ["CT"], jobs=1, limit=1)
    assert "broken-x2 (base!)" in [line[1] for line in table.score_cells(found["rows"])]


def test_what_is_not_there_is_named(data: Path, tmp_path: Path, make_model: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="MRI"):
        command.make_report(data, "val", wanted=["MRI"])
    with pytest.raises(UsageError, match="no test scans"):
        command.make_report(data, "test")
    with pytest.raises(UsageError, match="enlarges by 3"):
        command.make_report(data, "val", [str(make_model("tiny-x3", scale=3))])
    with pytest.raises(ModelError, match="no-such"):
        command.make_report(data, "val", ["no-such"])
    with pytest.raises(InputError, match="MANIFEST"):
        command.make_report(tmp_path, "val", ["base"])


def test_a_missing_package_names_the_extra(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    monkeypatch.setattr(command, "make_report", missing)
    done = CliRunner().invoke(command.app, [str(data)])
    assert isinstance(done.exception, UsageError)
    assert "needs skimage: pip install 'acutance[evaluate]'" in str(done.exception)
