"""PNG, TIFF and JPEG pictures of 8 and 16 bits, gray and RGB. JPEG is only read: a result is written as PNG."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import JpegImagePlugin, PngImagePlugin

from ..beside import beside
from ..errors import InputError, UsageError
from ..geometry import Array, Frame, Source, share_range
from . import png, record, tiff
from .values import EXPANSION, TRANSPARENT, Page, check_promise, check_size, damage, drop_alpha, storable

PNG, TIFF = (".png",), (".tif", ".tiff")
"""Ends of file names that are written."""

_ORIENTATION = 0x0112
"""EXIF tag: how the stored rows and columns lie on the screen."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a picture keeps of its file.

    Attributes
    ----------
    sha256 : str
        Of the file.
    icc : bytes or None
        Its colour profile.
    packed : bool
        Whether its pixels were compressed.
    """

    sha256: str
    icc: bytes | None
    packed: bool


def read(path: str | os.PathLike[str], modality: str | None = None, max_pixels: int | None = None) -> list[Frame]:
    """Read the pictures of a file: one, or each page of a TIFF file, which then share one robust range.

    Palettes become RGB, bilevel pictures 0 and 255. Opaque transparency is dropped. A picture that is stored turned is
    set upright. Spacing is known where a PNG or TIFF file gives its resolution with a unit.

    Parameters
    ----------
    path : str or os.PathLike
    modality : str, optional
        DICOM modality code; the file does not say it, so it is ``"OT"`` when not given.
    max_pixels : int, optional
        Pixels of all pictures of the file that are read at most.

    Raises
    ------
    InputError
        The file is damaged, promises more than it holds, or holds something else (transparency, CMYK, an animation).
    """
    path = Path(path)
    kind = _kind(path)
    pages = tiff.pages(path, max_pixels) if kind == "tiff" else [_picture(path, kind, max_pixels)]
    sha256, frames = record.sha256_of(path), []
    for i, page in enumerate(pages):
        pixels, spacing = _upright(page)
        frames.append(
            Frame(
                pixels,
                modality=modality or "OT",
                spacing=spacing,
                bits_stored=page.bits,
                inverted=page.inverted,
                source=Source(os.fspath(path), Header(sha256, page.icc, page.packed), i, kind),
            )
        )
    return share_range(frames) if len(frames) > 1 else frames


def write(path: str | os.PathLike[str], frames: Sequence[Frame]) -> None:
    """Write pictures as PNG (one of uint8 or uint16) or as TIFF (pages).

    The record stands in a PNG text chunk, or in the ImageDescription of the first TIFF page. The file is written beside
    its place and renamed.

    Parameters
    ----------
    path : str or os.PathLike
        Ends in ``.png``, ``.tif`` or ``.tiff``.
    frames : sequence of Frame
        Enhanced or not; from any source, but only stored values are written, no slope and no window.

    Raises
    ------
    UsageError
        The format does not hold these pictures.
    OutputError
        The file cannot be written.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if not frames or suffix not in (*PNG, *TIFF):
        raise UsageError(f"{path}: pictures are written as .png, .tif or .tiff")
    header = frames[0].source.header if frames[0].source else None
    kept = header if isinstance(header, Header) else Header("", None, True)
    made = record.made((f.derivation for f in frames), kept.sha256)
    text = None if made is None else made.text()
    if suffix in TIFF:
        with beside(path) as file:
            tiff.write(file, frames, text=text, icc=kept.icc, packed=kept.packed)
        return
    frame = frames[0]
    wrong = None
    if len(frames) != 1:
        wrong = f"one picture, not {len(frames)}"
    elif frame.pixels.dtype.name not in ("uint8", "uint16"):
        wrong = f"uint8 or uint16, not {frame.pixels.dtype}"
    elif frame.inverted:
        wrong = "gray with 0 as black, and here it is white"
    if wrong:
        raise UsageError(f"{path}: a PNG file holds {wrong}; write .tif")
    with beside(path) as file:
        texts = {} if text is None else {record.KEY: text}
        png.write(file, frame.pixels, text=texts, spacing=frame.spacing, icc=kept.icc)


def read_record(path: str | os.PathLike[str]) -> record.Record | None:
    """Return what a PNG or TIFF file says of how this package made it; None when it did not, or is no such file."""
    try:
        kind = _kind(Path(path))
        if kind == "tiff":
            return record.parse(tiff.description(path))
        return record.parse(png.read_text(path, record.KEY)) if kind == "png" else None
    except (InputError, OSError):
        return None


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    if start == png.SIGNATURE:
        return "png"
    if start[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if start[:4] in tiff.MAGICS:
        return "tiff"
    raise InputError("is no PNG, TIFF or JPEG file", path)


def _picture(path: Path, kind: str, max_pixels: int | None) -> Page:
    """Read a PNG or JPEG file."""
    plugin = PngImagePlugin.PngImageFile if kind == "png" else JpegImagePlugin.JpegImageFile
    with damage(path), plugin(path) as image:  # not Image.open, whose limit is one for the whole process
        cols, rows = image.size
        check_size(rows * cols, max_pixels, path)
        bits = len(image.getbands()) * (8 if image.mode != "1" else 1)
        check_promise(rows * cols * bits // 8, path.stat().st_size, EXPANSION, path)
        if getattr(image, "n_frames", 1) > 1:
            raise InputError("is an animation; wanted one picture", path)
        icc, spacing = image.info.get("icc_profile"), _spacing(image) if kind == "png" else None
        pixels = _deep(path, image) if _is_deep(image) else _shallow(path, image)
        orientation = image.getexif().get(_ORIENTATION, 1)
    return Page(pixels, spacing, icc, orientation=orientation)


def _is_deep(image: Any) -> bool:
    """Tell whether a PNG picture has 16-bit colours, of which Pillow drops half."""
    return bool(image.tile) and str(image.tile[0][3]).endswith(";16B") and image.mode in ("RGB", "RGBA")


def _deep(path: Path, image: Any) -> Array:
    """Read 16-bit colours: once their high bytes, once, told that they come the other way round, their low bytes."""
    (tile,) = image.tile
    mode = str(tile[3]).split(";")[0]
    if mode not in ("RGB", "RGBA"):
        raise InputError("has 16-bit gray with transparency; remove the transparency", path)
    high = np.asarray(image).astype(np.uint16)
    with PngImagePlugin.PngImageFile(path) as again:
        again.tile = [(*again.tile[0][:3], f"{mode};16L")]  # type: ignore[list-item]
        low = np.asarray(again)
    transparent = image.info.get("transparency")
    pixels = (high << 8) | low
    if transparent is not None and (pixels[..., :3] == np.asarray(transparent, np.uint16)).all(-1).any():
        raise InputError(TRANSPARENT, path)
    return drop_alpha(pixels, path)


def _shallow(path: Path, image: Any) -> Array:
    """Read 16-bit gray, 8-bit gray and colours, palettes and bilevel pictures."""
    transparent = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        if transparent is not None and (pixels == transparent).any():
            raise InputError(TRANSPARENT, path)
        return pixels
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(f"has {image.mode} pixels; wanted gray or RGB", path)
    if transparent is not None or image.mode == "PA":
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    return drop_alpha(storable(np.asarray(image), path), path)


def _spacing(image: Any) -> tuple[float, float] | None:
    """Return millimetres between rows and columns by pHYs, which Pillow gives as ``dpi`` when its unit is the metre."""
    dpi = image.info.get("dpi")
    return None if not dpi or min(dpi) <= 0 else (25.4 / dpi[1], 25.4 / dpi[0])


def _upright(page: Page) -> tuple[Array, tuple[float, float] | None]:
    """Undo the orientation of TIFF 6.0 and EXIF 2.3 (tag 274): 1 upright, 2 to 8 mirrored, turned or both."""
    pixels, spacing = page.pixels, page.spacing
    if page.orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
        spacing = None if spacing is None else (spacing[1], spacing[0])
    if page.orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if page.orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels), spacing
