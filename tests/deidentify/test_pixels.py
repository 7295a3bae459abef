"""What is left of the pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

pytest.importorskip("dicomanonymizer")

from acutance import dicom
from acutance.deidentify.burned_in import Rectangle
from acutance.deidentify.key import Key
from acutance.deidentify.objects import Settings, deidentify
from acutance.errors import InputError, UsageError

Someone = Callable[..., Dataset]


@pytest.fixture
def clean(tmp_path: Path, objects: ModuleType) -> Callable[..., tuple[Dataset, Any, Any]]:
    """Return a function that gives an object de-identified, its pixels, and those of the source."""
    key = Key.make(tmp_path / "key")

    def run(made: Dataset, **settings: Any) -> tuple[Dataset, Any, Any]:
        source = objects.save(made, tmp_path / "source.dcm")
        out = deidentify(source, Settings(key, **settings))
        target = objects.save(out, tmp_path / "out.dcm")
        before, after = (np.stack([f.pixels for f in dicom.read(path)]) for path in (source, target))
        return pydicom.dcmread(target), after, before

    return run


@pytest.mark.parametrize("maker", ["us", "us_multi"])
def test_outside_ultrasound_regions_nothing_is_left(
    maker: str, someone: Someone, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    made = someone(maker, BurnedInAnnotation="YES")
    made.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1 = 15
    out, after, before = clean(made)
    inside = np.zeros(after.shape[1:3], bool)
    inside[1:24, 2:16] = True  # as the region of the object says, its last row and column with it
    assert (before[:, ~inside] > 0).any() and not after[:, ~inside].any()
    assert np.array_equal(after[:, inside], before[:, inside])
    assert out.BurnedInAnnotation == "NO"
    assert [x.CodeValue for x in out.DeidentificationMethodCodeSequence] == ["113100", "113101"]


def test_regions_that_protect_nothing_do_not_count(
    someone: Someone, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    whole = someone("us", BurnedInAnnotation="")
    region = whole.SequenceOfUltrasoundRegions[0]
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 5000, 5000
    with pytest.raises(InputError, match="ultrasound regions that cover all of it"):
        clean(whole)
    out, after, before = clean(someone("us", SequenceOfUltrasoundRegions=whole.SequenceOfUltrasoundRegions))
    assert np.array_equal(after, before) and "113101" not in str(out.DeidentificationMethodCodeSequence)
    for changes in ({"RegionSpatialFormat": 5}, {"RegionLocationMinX0": 900}, {"RegionLocationMaxY1": 0}):
        none = someone("us", BurnedInAnnotation="")
        for keyword, value in changes.items():
            setattr(none.SequenceOfUltrasoundRegions[0], keyword, value)
        with pytest.raises(InputError, match="has no ultrasound regions"):
            clean(none)


@pytest.mark.parametrize(
    "maker, changes, why",
    [
        ("sc", {}, "secondary capture"),
        ("ct", {"BurnedInAnnotation": "YES"}, "says that text is burned into"),
        ("ct", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "captured screen"),
        ("endoscopy", {"BurnedInAnnotation": ""}, "is from an endoscope"),
    ],
)
def test_pictures_that_may_name_someone_are_refused_until_told_otherwise(
    maker: str,
    changes: dict[str, Any],
    why: str,
    someone: Someone,
    clean: Callable[..., tuple[Dataset, Any, Any]],
) -> None:
    with pytest.raises(InputError, match=why) as refused:
        clean(someone(maker, **changes))
    assert "--blank" in str(refused.value) and "Mustermann" not in str(refused.value)
    out, after, before = clean(someone(maker, **changes), blank=(Rectangle(2, 3, 5, 7),))
    blank = np.zeros(after.shape[1:3], bool)
    blank[2:7, 3:10] = True
    lowest = 0 if after.ndim == 4 else before.min()
    assert (after[:, blank] == lowest).all() and np.array_equal(after[:, ~blank], before[:, ~blank])
    assert out.BurnedInAnnotation == "NO" and "113101" in str(out.DeidentificationMethodCodeSequence)
    out, after, before = clean(someone(maker, **changes), allow_burned_in=True)
    assert np.array_equal(after, before) and out.BurnedInAnnotation == changes.get("BurnedInAnnotation", "NO")
    assert "113101" not in str(out.DeidentificationMethodCodeSequence)


def test_inverted_pictures_are_blanked_with_their_greatest_value(
    someone: Someone, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    _, after, before = clean(someone("cr"), blank=(Rectangle(0, 0, 4, 20),))
    assert (after[:, :4] == before.max()).all()


def test_a_rectangle_that_leaves_the_picture_is_refused(
    someone: Someone, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    with pytest.raises(InputError, match=r"is 24 x 20 pixels, and --blank leaves it"):
        clean(someone(), blank=(Rectangle(0, 0, 4, 21),))
    assert Rectangle.parse("1,2,3,4") == Rectangle(1, 2, 3, 4)
    for wrong in ("1,2,3", "1,2,0,4", "a,2,3,4", "-1,2,3,4", "1,2,3,4,5"):
        with pytest.raises(UsageError, match="ROW,COL,ROWS,COLS"):
            Rectangle.parse(wrong)


def test_nothing_rides_along_beside_the_values(
    someone: Someone, objects: ModuleType, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    made = someone("mr")  # 12 bits stored: an old overlay in the bits above, an overlay plane, bytes behind
    data = np.frombuffer(made.PixelData, "<u2").copy()
    data[::3] |= 0x8000
    made.PixelData = data.tobytes() + b"Mustermann"
    made.add_new(0x60000010, "US", 24)
    made.add_new(0x60003000, "OW", b"Mustermann")
    made.IconImageSequence = [Dataset()]
    objects.pixels(made.IconImageSequence[0], [objects.gray()])
    out, after, before = clean(made)
    assert np.array_equal(after, before) and not np.frombuffer(out.PixelData, "<u2").max() & 0xF000
    assert not any(x.tag.group == 0x6000 for x in out) and "IconImageSequence" not in out
    assert len(out.PixelData) == 2 * 24 * 20


def test_comments_in_compressed_frames_are_gone(
    someone: Someone, objects: ModuleType, clean: Callable[..., tuple[Dataset, Any, Any]], tmp_path: Path
) -> None:
    source = pydicom.dcmread(str(pydicom.data.get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False)))
    (frame,) = generate_frames(source.PixelData, number_of_frames=1)
    comment = b"Mustermann"
    frame = frame[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + frame[2:]
    source.PixelData = encapsulate([frame])
    out, after, before = clean(source, allow_burned_in=True)
    assert np.array_equal(after, before) and out.PhotometricInterpretation == "RGB"
    assert out.LossyImageCompression == "01" and out.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert b"Mustermann" not in (tmp_path / "out.dcm").read_bytes()


@pytest.mark.parametrize("compress", ["jpeg2000", "rle"])
def test_compression_loses_nothing(
    compress: str, someone: Someone, objects: ModuleType, clean: Callable[..., tuple[Dataset, Any, Any]]
) -> None:
    made = someone("us_multi")
    objects.pixels(made, [np.tile(objects.colour(), (3, 4, 1))] * 3, bits=8)  # JPEG 2000 wants 32 pixels a side
    del made.SequenceOfUltrasoundRegions
    out, after, before = clean(made, blank=(Rectangle(0, 0, 1, 80),), compress=compress)
    assert out.file_meta.TransferSyntaxUID.is_compressed
    assert not after[:, 0].any() and np.array_equal(after[:, 1:], before[:, 1:])
