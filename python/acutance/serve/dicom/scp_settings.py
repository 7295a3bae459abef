"""Who may send to the node, over what, and how much: the table ``[service.receive]`` of a configuration."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

import pydantic

AeTitle = Annotated[str, pydantic.Field(pattern=r"^[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?$")]
"""1 to 16 printable ASCII characters but the backslash, no space at either end (PS3.5 6.2)."""

Uid = Annotated[str, pydantic.Field(pattern=r"^[0-9.]{1,64}$")]

ANYONE = "*"

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class TlsSettings(pydantic.BaseModel):
    """Certificates for TLS, in which both sides prove who they are.

    Attributes
    ----------
    certificate : Path
        PEM file of the own certificate, followed by those between it and its authority, if any.
    key : Path
        PEM file of its private key, without a password.
    authorities : Path
        PEM file of the authorities whose certificates the other side may show.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    key: Path
    authorities: Path


class ReceiveSettings(pydantic.BaseModel):
    """How the node receives.

    Attributes
    ----------
    ae_title : str
        Own AE title; an association that calls another one is rejected.
    address, port
        Where to listen; port 0 takes a free one.
    callers : tuple of str
        AE titles that may call; ``"*"`` stands for every one.
    networks : tuple of networks
        Addresses that may connect, as ``10.1.2.0/24``; the own machine alone by default.
    tls : TlsSettings or None
        Without it, instances travel unencrypted.
    other_classes : "forward", "refuse" or tuple of str
        What to do with storage classes that are not enhanced: take all, none, or those of these UIDs.
    associations, associations_per_peer : int
        At the same time, in all and from one address.
    pdu_bytes : int
        Largest PDU that a sender may use.
    object_mb, memory_mb : int
        MiB of one instance, and of all that are being received at the same time.
    begin_s : float
        Seconds from the connection to a complete request for an association, TLS included; also how long to wait for
        the other side to close (ARTIM, PS3.8 9.1.5), and to take an answer.
    idle_s : float
        Seconds without a message after which an association is aborted.
    stall_s : float
        Seconds in which a PDU that has begun must be there.
    slowest_kb_s : float
        KiB a second that a sender must reach over a message, beyond its first ``stall_s``.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = "ACUTANCE"
    address: IPv4Address | IPv6Address = IPv4Address("127.0.0.1")
    port: int = pydantic.Field(default=11112, ge=0, le=65535)
    callers: tuple[AeTitle, ...] = pydantic.Field(min_length=1)
    networks: tuple[IPv4Network | IPv6Network, ...] = pydantic.Field(default=LOOPBACK, min_length=1)
    tls: TlsSettings | None = None
    other_classes: Literal["forward", "refuse"] | tuple[Uid, ...] = "forward"
    associations: int = pydantic.Field(default=32, ge=1, le=256)
    associations_per_peer: int = pydantic.Field(default=8, ge=1, le=256)
    pdu_bytes: int = pydantic.Field(default=131072, ge=4096, le=1048576)
    object_mb: int = pydantic.Field(default=1024, ge=1)
    memory_mb: int = pydantic.Field(default=2048, ge=1)
    begin_s: float = pydantic.Field(default=10.0, gt=0, le=300)
    idle_s: float = pydantic.Field(default=60.0, gt=0)
    stall_s: float = pydantic.Field(default=30.0, gt=0)
    slowest_kb_s: float = pydantic.Field(default=16.0, gt=0)
