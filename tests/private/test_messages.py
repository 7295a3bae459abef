"""Messages quote nothing of a header, wherever in it a name stands."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import DataElement

from acutance import Enhancer, dicom
from acutance.errors import AcutanceError

OBJECTS = Path(__file__).resolve().parents[1] / "dicom" / "objects.py"

NAME = "QUANDTWEIN"


@pytest.fixture(scope="module")
def objects() -> Any:
    spec = importlib.util.spec_from_file_location("acutance_test_private_objects", OBJECTS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said_of(path: Path, enhancer: Enhancer) -> list[str]:
    """Return all that is said of a file from reading it to what is derived of it, but for its path."""
    said: list[str] = []
    try:
        frames = dicom.read(path)
        results = [enhancer.run(frame) for frame in frames]
        said += [x for r in results for x in (r.fell_back or "", *r.warnings)]
        dicom.derive([r.frame for r in results])
    except AcutanceError as e:
        said.append(e.message)
    return said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("maker", ["ct", "cr", "us", "nm"])
def test_a_name_in_any_element_is_not_repeated(maker: str, objects: Any, tmp_path: Path) -> None:
    path, tried, said = tmp_path / "x.dcm", 0, ""
    with Enhancer(threads=1) as enhancer:
        for element in getattr(objects, maker)():
            if element.VR in ("OB", "OW", "SQ") or element.tag.group > 0x6000:
                continue
            made = getattr(objects, maker)()
            vr = element.VR if element.VR in ("CS", "LO", "PN", "SH", "ST", "UI") else "LO"
            made[element.tag] = DataElement(element.tag, vr, NAME, validation_mode=pydicom.config.IGNORE)
            try:
                made.save_as(path)
            except (AttributeError, TypeError, ValueError):  # pixels whose size nobody could tell
                continue
            found = " ".join(said_of(path, enhancer))
            assert NAME.lower() not in found.lower(), element.keyword
            tried, said = tried + 1, said + found
    assert tried > 30 and said
