"""The attributes of an MRD image: a short XML text of names with values (ISMRMRD MetaContainer)."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from ...errors import InputError

ROOT = "ismrmrdMeta"


class Attributes:
    """Names with values; what is not touched leaves as it came, in its order and with its comments.

    Parameters
    ----------
    text : bytes
        UTF-8; nothing but zeros is no attribute.

    Raises
    ------
    InputError
        It is no such XML, or declares a document type, which none needs and which may hold entities that grow.
    """

    def __init__(self, text: bytes) -> None:
        text = text.rstrip(b"\0").strip()
        if not text:
            self._root = ET.Element(ROOT)
            return
        if b"<!DOCTYPE" in text:
            raise InputError("the attributes of the image declare a document type")
        builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
        try:
            self._root = ET.fromstring(text, ET.XMLParser(target=builder))
        except (ET.ParseError, ValueError, LookupError):
            raise InputError("the attributes of the image are no XML") from None
        if self._root.tag != ROOT:
            raise InputError(f"the attributes of the image are no <{ROOT}>")

    def names(self) -> list[str]:
        """Return all names, in order."""
        return [meta.findtext("name") or "" for meta in self._root.findall("meta")]

    def get(self, name: str) -> list[str]:
        """Return the values of a name; none when it is not there."""
        return [value.text or "" for meta in self._find(name) for value in meta.findall("value")]

    def set(self, name: str, *values: object) -> None:
        """Give a name these values alone."""
        first, *others = self._find(name) or [self._new(name)]
        for meta in others:
            self._root.remove(meta)
        for value in first.findall("value"):
            first.remove(value)
        self._add(first, values)

    def append(self, name: str, *values: object) -> None:
        """Give a name further values."""
        self._add((self._find(name) or [self._new(name)])[-1], values)

    def serialize(self) -> bytes:
        """Return them as UTF-8 XML; nothing when there are none."""
        return ET.tostring(self._root, encoding="UTF-8", xml_declaration=True) if len(self._root) else b""

    def scale_regions(self, scale: int) -> None:
        """Multiply the corners of regions of interest.

        After six values for colour, line and visibility come pairs of row and column between 0 and their number (MRD
        documentation, "MetaAttributes", ROI): edges of pixels as areas, so that corners stay where they are in the
        patient.
        """
        for name in {n for n in self.names() if n == "ROI" or n.startswith("ROI_")}:
            for meta in self._find(name):
                for value in meta.findall("value")[6:]:
                    with contextlib.suppress(ValueError):
                        value.text = repr(float(value.text or "") * scale)

    def _find(self, name: str) -> list[ET.Element]:
        return [meta for meta in self._root.findall("meta") if meta.findtext("name") == name]

    def _new(self, name: str) -> ET.Element:
        meta = ET.SubElement(self._root, "meta")
        ET.SubElement(meta, "name").text = name
        return meta

    @staticmethod
    def _add(meta: ET.Element, values: Iterable[object]) -> None:
        for value in values:
            ET.SubElement(meta, "value").text = str(value)
