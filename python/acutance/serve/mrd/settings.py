"""Settings of the MRD server: a ``[[service]]`` with ``kind = "mrd"``."""

from __future__ import annotations

import ipaddress
from typing import Literal

import pydantic

from ..enhance import EnhanceSettings
from ..service import Settings

PASSTHROUGH = "passthrough"
"""Name of the config with which everything leaves as it came."""

DEFAULT = "acutance"
"""Name of the config that enhances by ``[service.enhance]``; so does none at all."""


class Limits(pydantic.BaseModel):
    """What one connection may cost: the table ``[service.limits]``.

    Attributes
    ----------
    image_mb : int
        Pixels of one image as it comes, in units of 10^6 bytes.
    message_mb : int
        Any other message, and the attributes of an image.
    buffer_mb : int
        What has come and waits for its turn, and what is answered and waits to be fetched: each of them. A client that
        sends everything before it reads needs as much as it sends.
    connections : int
        At a time; further ones are told so and closed.
    message_s : float
        From the first byte of a message to its last, and how long a client that must read may stand still.
    idle_s : float
        Between two messages.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    image_mb: int = pydantic.Field(default=256, ge=1, le=65536)
    message_mb: int = pydantic.Field(default=64, ge=1, le=65536)
    buffer_mb: int = pydantic.Field(default=256, ge=1, le=65536)
    connections: int = pydantic.Field(default=8, ge=1, le=1024)
    message_s: float = pydantic.Field(default=60.0, gt=0)
    idle_s: float = pydantic.Field(default=3600.0, gt=0)


class MrdSettings(Settings):
    """Settings of the MRD server.

    Attributes
    ----------
    address, port
        Where it listens; 9002 is what MRD clients expect. The protocol knows neither passwords nor encryption.
    allow : tuple of networks
        Addresses of clients that may connect; all that reach the address when empty.
    enhance : EnhanceSettings
        How the config ``acutance`` enhances, which is taken when the client names none.
    configs : dict of EnhanceSettings
        Further configs by the names that clients use. Beside them each shipped model's name is one, which is
        ``enhance`` with that model, and ``passthrough`` enhances nothing.
    freeze_after : int
        Images of a series after which its value range stays as it is.
    keep_originals : bool
        Send each image as it came before its enhanced one; wants ``series_offset``.
    series_offset : int
        Added to the ``image_series_index`` of enhanced images.
    series_suffix : str
        Added to the series description of enhanced images; none when empty.
    keep_image_geometry : bool
        Set ``Keep_image_geometry`` to 1, which keeps Siemens scanners from turning the images that come back.
    texts : bool
        Tell the client by text messages what did not go as planned. Gadgetron takes those for an error: false there.
    workers : int
        Images of different connections that are enhanced at the same time.
    limits : Limits
    """

    kind: Literal["mrd"] = "mrd"
    address: str = "127.0.0.1"
    port: int = pydantic.Field(default=9002, ge=0, le=65535)
    allow: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    enhance: EnhanceSettings = EnhanceSettings()
    configs: dict[str, EnhanceSettings] = pydantic.Field(default_factory=dict)
    freeze_after: int = pydantic.Field(default=8, ge=1)
    keep_originals: bool = False
    series_offset: int = pydantic.Field(default=0, ge=0, le=65535)
    series_suffix: str = pydantic.Field(default="acutance", max_length=32)
    keep_image_geometry: bool = True
    texts: bool = True
    workers: int = pydantic.Field(default=1, ge=1, le=64)
    limits: Limits = Limits()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> MrdSettings:
        if self.keep_originals and not self.series_offset:
            raise ValueError("keep_originals wants a series_offset, or both kinds of images would be one series")
        if taken := {PASSTHROUGH, DEFAULT} & self.configs.keys():
            raise ValueError(f"configs: '{min(taken)}' has its meaning already; choose another name")
        return self
