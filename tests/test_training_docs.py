"""The commands of docs/training.md run, one after the other, on a small ward."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("dicomanonymizer")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")
pytest.importorskip("skimage")

from acutance import cli
from acutance.evaluate import scans
from acutance.train import recipe as recipes

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")

KEY = f"{220:064x}"
"""Under which the four patients below stand in train, train, val and test."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``scans`` of four patients, one slice each, and the recipe of the page in two steps."""
    for patient in range(4):
        header = pydicom.dcmread(ROOT / "examples" / "ct-abdomen.dcm")
        part = header.pixel_array[180 + 40 * patient :, 200:][:64, :72]
        header.Rows, header.Columns, header.PixelData = 64, 72, np.ascontiguousarray(part).tobytes()
        header.PatientID, header.ImageType = f"P{patient}", ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.StudyInstanceUID, header.FrameOfReferenceUID = f"1.2.3.{patient}", f"1.2.3.{patient}.1"
        header.SeriesInstanceUID = f"1.2.3.{patient}.2"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{patient}.3"
        (tmp_path / "scans" / f"{patient}").mkdir(parents=True)
        header.save_as(tmp_path / "scans" / f"{patient}" / "slice.dcm")
    (tmp_path / "scans" / ".acutance.key").write_text(KEY)
    (recipe,) = blocks("toml")
    small = {
        "steps = 24000": "steps = 2\nvalidate_every = 2\npool = 2",
        "batch = 16": "batch = 2",
        "patch = 48": "patch = 12",
    }
    for said, less in small.items():
        assert said in recipe
        recipe = recipe.replace(said, less)
    (tmp_path / "ward-ct-x2.toml").write_text(recipe)
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_leads_from_a_folder_to_a_card(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [shlex.split(line.removeprefix("$ ")) for block in blocks("console") for line in block.splitlines()]
    assert [c[1] for c in commands if c[0] == "acutance"] == [
        "data",
        "train",
        "export",
        "evaluate",
        "models",
        "enhance",
    ]
    for command in commands:
        with pytest.raises(SystemExit) as end:
            if command[0] == "acutance":
                cli.main(command[1:])
            assert command[:2] == ["python", "-m"]
            monkeypatch.setattr(sys, "argv", command[2:])
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        assert not end.value.code, command
    assert {s for s in scans.SPLITS if scans.find("dataset", s, "CT")} == set(scans.SPLITS)
    card = (ward / "cards" / "ward-ct-x2.md").read_text(encoding="utf-8")
    assert "Ward 7, 2024" in card and "study agreement 12" in card
    assert (ward / "slice-x2.dcm").stat().st_size > 4 * 64 * 72


def test_the_recipe_is_whole(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "ward-ct-x2.toml").write_text(text)
    found = recipes.load(tmp_path / "ward-ct-x2.toml")
    assert found.training.start == recipes.load("ct-rt-x2").name and found.training.batch == 16


def test_links_and_names_exist() -> None:
    for path in re.findall(r"`((?:docs|python)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists(), path
