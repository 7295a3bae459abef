"""Settings of a video service, and of ``acutance serve video``."""

from __future__ import annotations

import ipaddress
import urllib.parse
from pathlib import Path
from typing import Literal

import pydantic

from ...live.stream import StreamSettings
from ..enhance import EnhanceSettings
from ..service import Settings

SCHEMES = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,tls,tcp,udp,rtp",
    "udp": "udp",
    "rtp": "rtp,udp",
    "srt": "srt",
}
"""Streams that are taken, and what ffmpeg may speak for each: nothing that could lead it to another address."""

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska"}
"""Formats of results by the end of their name."""

TOKEN_LENGTH = 16
"""Characters that a token has at least."""


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def kind_of(address: str) -> Literal["file", "device", "stream"]:
    """Tell by an address what it is of."""
    if "://" in address:
        return "stream"
    return "device" if address.startswith("/dev/video") else "file"


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class PageSettings(_Table):
    """Where a stream can be watched: the table ``[service.page]``.

    Attributes
    ----------
    address : str
        Other than loopback only with a token.
    port : int
        0: any free one.
    token : SecretStr, optional
        What a viewer has to know.
    viewers : int
        Who may watch at the same time.
    quality : int
        Of the JPEG pictures.
    """

    address: str = "127.0.0.1"
    port: int = pydantic.Field(default=8750, ge=0, le=65535)
    token: pydantic.SecretStr | None = pydantic.Field(default=None, min_length=TOKEN_LENGTH)
    viewers: int = pydantic.Field(default=8, ge=1, le=100)
    quality: int = pydantic.Field(default=90, ge=1, le=100)

    @pydantic.model_validator(mode="after")
    def _guarded(self) -> PageSettings:
        if self.token is None and not is_loopback(self.address):
            raise ValueError(f"address {self.address} can be reached from outside; give a token or use 127.0.0.1")
        return self


class DecodeSettings(_Table):
    """How a source is read.

    Attributes
    ----------
    deinterlace : {"auto", "always", "never"}
        ``auto``: where the source says that it is interlaced, pictures that are marked so.
    matrix : {"bt601", "bt709"}, optional
        In place of what the source says; without both BT.709 from 720 lines, else BT.601.
    range : {"limited", "full"}, optional
        In place of what the source says; without both limited, gray full.
    max_pixels : int
        Pixels of a picture above which a source is refused.
    silence_s : float
        Seconds without a picture after which a stream is connected anew.
    """

    deinterlace: Literal["auto", "always", "never"] = "auto"
    matrix: Literal["bt601", "bt709"] | None = None
    range: Literal["limited", "full"] | None = None
    max_pixels: int = pydantic.Field(default=1 << 25, ge=1, le=1 << 28)
    silence_s: float = pydantic.Field(default=10.0, gt=0, le=3600)


class EncodeSettings(_Table):
    """How a result is written.

    Attributes
    ----------
    lossless : bool
        FFV1 of exactly the pixels that were made, in .mkv, instead of H.264.
    quality : int
        Constant rate factor of H.264: less is better, 0 to 51.
    audio : bool
        Copy the sound of a file.
    """

    lossless: bool = False
    quality: int = pydantic.Field(default=17, ge=0, le=51)
    audio: bool = True


class VideoSettings(Settings):
    """A video service.

    Attributes
    ----------
    source : str
        A file, a device (``/dev/video0``) or the address of a stream (``rtsp://``, ``udp://``, ...).
    output : Path, optional
        ``.mp4`` or ``.mkv``. A recording of a stream that breaks off goes on in ``NAME-2.mkv`` and so on.
    page : PageSettings, optional
        Where to watch. At least one of both is there; a file goes to one of them.
    modality : str
        DICOM's code, by which ``model = "auto"`` chooses: ES (endoscopy), US, XA, RF.
    decode, encode, enhance, stream
        Tables of their own.
    """

    kind: Literal["video"]
    source: str = pydantic.Field(min_length=1)
    output: Path | None = None
    page: PageSettings | None = None
    modality: str = pydantic.Field(default="ES", pattern="^[A-Z]{2}$")
    decode: DecodeSettings = DecodeSettings()
    encode: EncodeSettings = EncodeSettings()
    enhance: EnhanceSettings = EnhanceSettings()
    stream: StreamSettings = StreamSettings()

    @pydantic.field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        scheme, separator, _ = source.partition("://")
        if not separator:
            return source
        if scheme not in SCHEMES:
            raise ValueError(f"streams come by {', '.join(SCHEMES)}, not by {scheme[:20]}")
        if not urllib.parse.urlsplit(source).netloc:
            raise ValueError("the address names no host")
        return source

    @pydantic.model_validator(mode="after")
    def _somewhere(self) -> VideoSettings:
        if self.output is None and self.page is None:
            raise ValueError("it goes nowhere: give output, page or both")
        if self.output is not None:
            check_container(self.output, self.encode.lossless)
        if self.is_file and self.output is not None and self.page is not None:
            raise ValueError("a file goes to output, every picture of it, or to the page in its own time; not to both")
        return self

    @property
    def is_file(self) -> bool:
        """Whether the source is a file, of which no picture may be lost."""
        return kind_of(self.source) == "file"


def check_container(output: Path, lossless: bool) -> str:
    """Return the format of a result.

    Raises
    ------
    ValueError
    """
    found = CONTAINERS.get(output.suffix.lower())
    if found is None:
        raise ValueError(f"output must end in {' or '.join(CONTAINERS)}; got '{output.suffix}'")
    if lossless and found != "matroska":
        raise ValueError("lossless goes into .mkv only")
    return found
