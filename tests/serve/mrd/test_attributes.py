"""Attributes of images: what is not touched stays."""

from __future__ import annotations

import pytest

from acutance.errors import InputError
from acutance.serve.mrd.attributes import Attributes

TEXT = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- from the scanner -->
<ismrmrdMeta>
  <!-- kept -->
  <meta><name>DataRole</name><value>Image</value><value>AVE</value></meta>
  <meta><name>ImageComments</name><value>M\xc3\xbcller &amp; Co</value></meta>
  <meta><name>DataRole</name><value>NORM</value></meta>
  <other attribute="1">as it was</other>
</ismrmrdMeta>"""


def test_what_is_not_touched_stays() -> None:
    attributes = Attributes(TEXT)
    attributes.append("ImageComments", "second")
    attributes.set("New", 1, 2.5)
    text = attributes.serialize()
    for kept in (b"<!-- kept -->", b'<other attribute="1">as it was</other>', "Müller &amp; Co".encode()):
        assert kept in text
    again = Attributes(text)
    assert again.get("DataRole") == ["Image", "AVE", "NORM"]
    assert again.get("ImageComments") == ["Müller & Co", "second"]
    assert again.get("New") == ["1", "2.5"] and again.get("none") == []


def test_set_replaces_all_of_a_name() -> None:
    attributes = Attributes(TEXT)
    attributes.set("DataRole", "Image")
    again = Attributes(attributes.serialize())
    assert again.get("DataRole") == ["Image"] and again.names() == ["DataRole", "ImageComments"]


def test_the_package_reads_the_same() -> None:
    meta = pytest.importorskip("ismrmrd", reason="no ismrmrd").Meta
    attributes = Attributes(TEXT)
    attributes.append("ImageProcessingHistory", "ACUTANCE")
    found = meta.deserialize(attributes.serialize().decode())
    assert found["DataRole"] == ["Image", "AVE", "NORM"] and found["ImageProcessingHistory"] == "ACUTANCE"


@pytest.mark.parametrize("text", [b"", b"\0\0", b" \n"])
def test_nothing_is_no_attribute(text: bytes) -> None:
    attributes = Attributes(text)
    assert attributes.serialize() == b""
    attributes.set("A", "b")
    assert Attributes(attributes.serialize() + b"\0").get("A") == ["b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ismrmrdMeta/>', "document type"),
        (b"<ismrmrdMeta>", "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        (b'<?xml version="1.0" encoding="nowhere"?><ismrmrdMeta/>', "no XML"),
        (b"<ismrmrdHeader/>", "no <ismrmrdMeta>"),
    ],
)
def test_what_is_none_is_named(text: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Attributes(text)


def test_corners_of_regions_stay_where_they_are() -> None:
    attributes = Attributes(b"")
    corners = [0.0, 1.5, 64.0, 32.25]
    attributes.set("ROI_liver", 1, 0, 0, 2, 0, 1, *corners)
    attributes.set("ROI", 1, 0, 0, 1, 0, 1, "not a number")
    attributes.set("ROINOT", *range(10))
    attributes.scale_regions(3)
    found = attributes.get("ROI_liver")
    assert found[:6] == ["1", "0", "0", "2", "0", "1"]
    assert [float(v) for v in found[6:]] == [3 * c for c in corners]
    assert attributes.get("ROI")[6:] == ["not a number"] and attributes.get("ROINOT") == [str(k) for k in range(10)]
