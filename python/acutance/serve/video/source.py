"""Where pictures come from, and what their colours and times mean."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import threading
import time
import urllib.parse
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError
from .ffmpeg import Process, find
from .settings import SCHEMES, DecodeSettings, kind_of

PROBE_TIME = 20.0
"""Seconds within which a source has to say what it is."""

HD_LINES = 720
"""Lines from which a picture without a tag is taken to be BT.709 (as most players do); below it is BT.601."""

MATRICES = {
    "bt709": "bt709",
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
"""What swscale calls the matrices (ITU-T H.273, table 4) that it knows. 625 and 525 lines of BT.601 share one."""

_UNSAID = (None, "unknown", "reserved", "unspecified")
_NAME = re.compile(r"[a-z0-9-]+")


@dataclasses.dataclass(frozen=True)
class Source:
    """A file, device or stream.

    Attributes
    ----------
    kind : {"file", "device", "stream"}
    address : str
        As the user gives it.
    """

    kind: Literal["file", "device", "stream"]
    address: str

    @classmethod
    def of(cls, address: str) -> Source:
        """Tell by an address what it is of."""
        return cls(kind_of(address), address)

    @property
    def shown(self) -> str:
        """What messages call it: without user, password and path where it is a stream."""
        if self.kind != "stream":
            return self.address
        parts = urllib.parse.urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def arguments(self, max_pixels: int) -> list[str]:
        """Return ffmpeg's options of this input. It may open nothing but it, whatever is written in it."""
        limit = ["-max_pixels", str(max_pixels)]
        if self.kind == "file":
            return [*limit, "-protocol_whitelist", "file", "-i", f"file:{self.address}"]
        if self.kind == "device":
            return [*limit, "-fflags", "nobuffer", "-f", "v4l2", "-i", self.address]
        scheme = self.address.partition("://")[0]
        soon = ["-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "2000000"]
        transport = ["-rtsp_transport", "tcp"] if scheme.startswith("rtsp") else []
        return [*limit, *soon, *transport, "-protocol_whitelist", SCHEMES[scheme], "-i", self.address]


@dataclasses.dataclass(frozen=True)
class Format:
    """What a source sends.

    Attributes
    ----------
    index : int
        Of its picture stream.
    rows, cols : int
        As coded: before a rotation that the header asks for.
    pixel_format : str
        ffmpeg's name.
    gray, rgb : bool
        Whether it has no colour; whether its colours are RGB already.
    matrix : str
        By which its luma and chroma, and those of the result, are made of RGB: a name of H.273 as ffmpeg has it.
    full : bool
        Whether its values, and those of the result, use their full range: 0 to 255, not 16 to 235.
    primaries, transfer : str
        Kept as they are; ``unknown`` where it does not say.
    interlaced : bool
    fps : float or None
    frames : int or None
        How many pictures there are, about.
    start : float
        Time in s at which the first of its streams begins; the times of pictures are counted from it.
    sound : bool
    notes : tuple of str
        What is taken for granted, and what is lost.
    """

    index: int
    rows: int
    cols: int
    pixel_format: str
    gray: bool
    rgb: bool
    matrix: str
    full: bool
    primaries: str
    transfer: str
    interlaced: bool
    fps: float | None
    frames: int | None
    start: float
    sound: bool
    notes: tuple[str, ...] = ()


def probe(source: Source, settings: DecodeSettings, stop: threading.Event | None = None) -> Format:
    """Ask a source what it sends.

    Raises
    ------
    InputError
        It cannot be opened, or sends nothing that can be enhanced.
    UsageError
        There is no ffprobe.
    """
    if source.kind == "file" and not Path(source.address).is_file():
        raise InputError("there is no such file", source.address)
    said = _ask(source, settings, stop or threading.Event())
    streams: list[dict[str, Any]] = said.get("streams", [])
    pictures = [
        s for s in streams if s.get("codec_type") == "video" and not s.get("disposition", {}).get("attached_pic")
    ]
    if not pictures:
        raise InputError("holds no moving pictures", source.shown)
    sound = any(s.get("codec_type") == "audio" for s in streams)
    return _format(pictures[0], said.get("format", {}), sound, source, settings)


def _ask(source: Source, settings: DecodeSettings, stop: threading.Event) -> dict[str, Any]:
    """Run ffprobe."""
    arguments = [find("ffprobe"), "-hide_banner", "-loglevel", "repeat+level+error", "-show_streams", "-show_format"]
    process = Process(
        [*arguments, "-of", "json", *source.arguments(settings.max_pixels)], stdout=True, hide=source.address
    )
    parts: list[bytes] = []

    def read() -> None:
        while chunk := process.stdout.read(1 << 16):
            parts.append(chunk)

    reader = threading.Thread(target=read, name="ffprobe", daemon=True)
    reader.start()
    deadline = time.monotonic() + PROBE_TIME
    try:
        while process.running():
            if stop.is_set() or time.monotonic() > deadline:
                raise InputError(f"sends nothing that is understood within {PROBE_TIME:g} s", source.shown)
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        reader.join()
        if size := re.search(r"Picture size (\d+)x(\d+) exceeds", process.reason):
            raise _too_large(int(size[1]), int(size[2]), settings, source)
        if process.wait() != 0:
            raise InputError(f"cannot be read as video: {bare(process.reason, source)}", source.shown)
        found: dict[str, Any] = json.loads(b"".join(parts))
        return found
    finally:
        process.kill()


def _too_large(cols: int, rows: int, settings: DecodeSettings, source: Source) -> InputError:
    wanted = f"wanted at most {settings.max_pixels} (max_pixels)"
    return InputError(f"pictures of {cols} x {rows} are {rows * cols} pixels; {wanted}", source.shown)


def bare(reason: str, source: Source) -> str:
    """Return a reason without the name that ffmpeg puts before it."""
    return re.sub(rf"^(file:)?({re.escape(source.address)}|the source): ", "", reason)


def _format(
    stream: dict[str, Any], container: dict[str, Any], sound: bool, source: Source, settings: DecodeSettings
) -> Format:
    rows, cols = int(stream.get("height", 0)), int(stream.get("width", 0))
    if rows <= 0 or cols <= 0:
        raise InputError("its pictures have no size: perhaps no key frame came yet", source.shown)
    if rows * cols > settings.max_pixels:
        raise _too_large(cols, rows, settings, source)
    name = stream.get("pix_fmt", "unknown")
    kind = _kind(name)
    if kind is None:
        raise InputError(
            f"its pixel format {name} is not supported; wanted YUV, RGB or gray: "
            "convert it first with ffmpeg -i IN -pix_fmt yuv444p OUT",
            source.shown,
        )
    matrix, full, notes = _colours(stream, kind, rows, settings, source)
    if re.search(r"(p|gray|gbra?p|xyz)0?(9|10|12|14|16|f32)|p01|p21|p41|48|64|2(rgb|bgr)10|y210", name):
        notes.append(f"{name} has more than 8 bits a sample; the result has 8")
    if re.match(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|pal8", name):
        notes.append("transparency is dropped")
    interlaced = stream.get("field_order") in ("tt", "bb", "tb", "bt")
    fps = _rate(stream)
    return Format(
        index=int(stream["index"]),
        rows=rows,
        cols=cols,
        pixel_format=name,
        gray=kind == "gray",
        rgb=kind == "rgb",
        matrix=matrix,
        full=full,
        primaries=_tag(stream, "color_primaries"),
        transfer=_tag(stream, "color_transfer"),
        interlaced=interlaced,
        fps=fps,
        frames=_count(stream, container, fps),
        start=float(container.get("start_time", 0) or 0),
        sound=sound,
        notes=tuple(notes),
    )


def _kind(name: str) -> str | None:
    """Return whether a pixel format is ``gray``, ``rgb`` or ``yuv``; None for others."""
    if re.match(r"gray|ya\d|mono", name):
        return "gray"
    if re.match(r"(0|x2|x)?(rgb|bgr)|a?rgb|a?bgr|gbr|pal8", name):
        return "rgb"
    if re.match(r"yuv|uyvy|yvyu|uyyvyy|nv\d|p0\d\d|p2\d\d|p4\d\d|y2\d\d|vuya|xv", name):
        return "yuv"
    return None


def _colours(
    stream: dict[str, Any], kind: str, rows: int, settings: DecodeSettings, source: Source
) -> tuple[str, bool, list[str]]:
    """Return matrix, full range and what was assumed."""
    notes = []
    matrix = {"bt601": "smpte170m", "bt709": "bt709", None: _tag(stream, "color_space")}[settings.matrix]
    if matrix in ("unknown", "gbr"):
        matrix = "bt709" if rows >= HD_LINES else "smpte170m"
        if kind == "yuv":
            notes.append(f"says no colour matrix; taken as {'BT.709' if matrix == 'bt709' else 'BT.601'}")
    if matrix not in MATRICES:
        raise InputError(
            f"its colour matrix {matrix} is not supported; wanted BT.601, BT.709 or BT.2020, or one given as matrix",
            source.shown,
        )
    said = stream.get("color_range")
    full = {"full": True, "limited": False, None: said == "pc"}[settings.range]
    if settings.range is None and said in _UNSAID:
        full = kind == "gray" or stream.get("pix_fmt", "").startswith("yuvj")
        if kind == "yuv":
            notes.append(f"says no range; taken as {'full' if full else 'limited'}")
    if kind == "rgb":
        full = False  # of the result: what players expect of YUV
    return matrix, full, notes


def _tag(stream: dict[str, Any], key: str) -> str:
    said = stream.get(key)
    return said if said not in _UNSAID and isinstance(said, str) and _NAME.fullmatch(said) else "unknown"


def _rate(stream: dict[str, Any]) -> float | None:
    """Return pictures a second, None where it is not known."""
    for key in ("avg_frame_rate", "r_frame_rate"):
        try:
            rate = float(Fraction(stream.get(key, "0/0")))
        except (ValueError, ZeroDivisionError):
            continue
        if 0 < rate <= 1000:
            return rate
    return None


def _count(stream: dict[str, Any], container: dict[str, Any], fps: float | None) -> int | None:
    """Return about how many pictures there are."""
    if stream.get("nb_frames", "").isdigit():
        return int(stream["nb_frames"])
    try:
        return round(float(stream.get("duration") or container["duration"]) * (fps or 0)) or None
    except (KeyError, ValueError):
        return None
