"""Settings of the page."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

import pydantic

from ..enhance import EnhanceSettings
from ..service import Settings

LOOPBACK = "127.0.0.1"
SHORTEST_TOKEN = 16


class PageSettings(Settings):
    """A page at ``http://address:port/``.

    Attributes
    ----------
    address : str
        IP address to bind, or ``localhost``. One that other machines reach needs a ``token``.
    port : int
        0: any free one.
    token : SecretStr, optional
        What a browser must say before it is shown anything.
    hosts : tuple of str
        Names, beside IP addresses and ``localhost``, under which browsers may ask for the page. Any other name is
        refused, because a stranger's page could have it point here.
    certificate, key : Path, optional
        PEM files for HTTPS.
    paths : tuple of Path
        Files and folders that every browser sees.
    folder : Path, optional
        Where uploaded files lie for as long as they are looked at, each browser's in a folder of its own, readable for
        nobody else; the system's folder of temporary files when not given.
    upload_mib, upload_files : int
        Most that one browser may have uploaded at a time.
    sessions : int
        Browsers at a time.
    idle_minutes : float
        After which a browser that asks for nothing is forgotten, and its uploads deleted.
    cache_mib : int
        Memory for pictures that were read, and as much again for enhanced ones.
    max_pixels : int
        Of a file; one with more is refused.
    show_names : bool
        Show names of files and patients, which are hidden otherwise.
    enhance : EnhanceSettings
        How pictures are enhanced. Model, scale and guard are only what the page proposes first.
    """

    kind: Literal["page"] = "page"
    address: str = LOOPBACK
    port: int = pydantic.Field(default=8787, ge=0, le=65535)
    token: pydantic.SecretStr | None = pydantic.Field(default=None, min_length=SHORTEST_TOKEN)
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    paths: tuple[Path, ...] = ()
    folder: Path | None = None
    upload_mib: int = pydantic.Field(default=2048, ge=1)
    upload_files: int = pydantic.Field(default=4000, ge=1)
    sessions: int = pydantic.Field(default=16, ge=1)
    idle_minutes: float = pydantic.Field(default=30.0, gt=0)
    cache_mib: int = pydantic.Field(default=512, ge=1)
    max_pixels: int = pydantic.Field(default=1 << 28, ge=1)
    show_names: bool = False
    enhance: EnhanceSettings = EnhanceSettings()

    @pydantic.field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value != "localhost":
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ValueError("wanted an IP address or localhost") from None
        return value

    @pydantic.model_validator(mode="after")
    def _is_closed(self) -> PageSettings:
        if not self.local and self.token is None:
            raise ValueError(f"other machines reach {self.address}: set a token of {SHORTEST_TOKEN} characters or more")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the address."""
        return self.address == "localhost" or ipaddress.ip_address(self.address).is_loopback
