"""Settings of a service of kind ``openigtlink``."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from ...live.stream import StreamSettings
from ..enhance import EnhanceSettings
from ..service import Settings

Count = Annotated[int, pydantic.Field(ge=1, le=64)]


class SideSettings(pydantic.BaseModel):
    """One side of the filter: the table ``[service.source]`` or ``[service.receivers]``.

    Attributes
    ----------
    role : {"client", "server"}
        Whether the filter connects to the other program, or waits for it.
    address : str
        Of the other program for a client; of this machine, to listen at, for a server.
    port : int
        A server with 0 listens at a free one.
    connections : int
        That a server has at the same time.
    allow : tuple of networks
        Addresses that may connect to a server, such as ``10.0.3.0/24``; empty: all that can reach it.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    role: Literal["client", "server"]
    address: str = pydantic.Field(default="127.0.0.1", min_length=1, max_length=253)
    port: int = pydantic.Field(ge=0, le=65535)
    connections: Count = 8
    allow: tuple[pydantic.IPvAnyNetwork, ...] = ()

    @pydantic.model_validator(mode="after")
    def _fits_role(self) -> SideSettings:
        if self.role == "client" and self.port == 0:
            raise ValueError("port: a client needs the port of the other program; got 0")
        if self.role == "client" and self.allow:
            raise ValueError("allow: is for role server, which others connect to")
        return self


class OpenIgtLinkSettings(Settings):
    """Settings of a filter between a source of pictures and those who look at them.

    Attributes
    ----------
    source, receivers : SideSettings
        By default the filter connects to a source at port 18944 and listens at 18945.
    suffix : str
        Put behind the device name of enhanced pictures.
    modality : str
        DICOM modality code that chooses the model: the protocol does not say what a picture is of.
    position : {"centre", "first"}
        What the position in an IMAGE is of: ``centre`` of the image, as the protocol says, or the ``first`` pixel.
    forward : tuple of str
        How the types of messages begin that receivers may send to the source.
    devices : int
        Device names whose pictures are enhanced at the same time.
    largest_mib : int
        MiB that a message may have.
    backlog_mib : int
        MiB that wait for one slow receiver before the oldest are dropped.
    stall_s : float
        Seconds after which a connection is dropped in which half a message, or one to be sent, does not move on.
    stream : StreamSettings
        ``fps`` or ``deadline_ms``, and how the value range is kept.
    enhance : EnhanceSettings
    """

    kind: Literal["openigtlink"]
    source: SideSettings = SideSettings(role="client", port=18944)
    receivers: SideSettings = SideSettings(role="server", port=18945)
    suffix: str = pydantic.Field(default="", pattern=r"^[!-~]{0,10}$")
    modality: str = pydantic.Field(default="US", pattern=r"^[A-Z]{2,16}$")
    position: Literal["centre", "first"] = "centre"
    forward: tuple[Annotated[str, pydantic.Field(min_length=1, max_length=12)], ...] = ("GET_", "STT_", "STP_")
    devices: Count = 8
    largest_mib: int = pydantic.Field(default=256, ge=1, le=4096)
    backlog_mib: int = pydantic.Field(default=64, ge=1, le=4096)
    stall_s: float = pydantic.Field(default=10.0, ge=1, le=600)
    stream: StreamSettings = StreamSettings()
    enhance: EnhanceSettings = EnhanceSettings()

    @pydantic.model_validator(mode="after")
    def _no_circle(self) -> OpenIgtLinkSettings:
        one, other = self.source, self.receivers
        if one.role != other.role and (one.address, one.port) == (other.address, other.port):
            raise ValueError(f"source and receivers: both are at {one.address}:{one.port}, so the filter feeds itself")
        return self
