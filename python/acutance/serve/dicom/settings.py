"""Settings of a DICOM node: a ``[[service]]`` of kind ``dicom``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from ..enhance import EnhanceSettings
from ..service import Settings
from .scp_settings import AeTitle, ReceiveSettings, TlsSettings

DestinationName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""It becomes part of the names of files."""


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RetrySettings(_Table):
    """What happens when a destination does not take a file.

    Attributes
    ----------
    first_s, longest_s : float
        Seconds until the next attempt: after the first failure, and at most; they double in between.
    refusals : int
        How often a destination may refuse the same file before it is given up.
    give_up_h : float
        Hours since an instance came in after which a destination that takes nothing is given up.
    """

    first_s: float = pydantic.Field(default=1.0, gt=0)
    longest_s: float = pydantic.Field(default=300.0, gt=0)
    refusals: int = pydantic.Field(default=5, ge=1)
    give_up_h: float = pydantic.Field(default=72.0, gt=0)


class _Destination(_Table):
    name: DestinationName
    retry: RetrySettings = RetrySettings()
    timeout_s: float = pydantic.Field(default=30.0, gt=0)


class CStore(_Destination):
    """A destination that takes instances by C-STORE.

    Attributes
    ----------
    name : str
    ae_title : str
        Of the destination.
    calling_ae : str, optional
        AE title to call it with; that of ``[service.receive]`` when not given.
    address : str
        Host name or address.
    port : int
    tls : TlsSettings, optional
        Own certificate, and the authorities that the certificate of the destination is to be of.
    timeout_s : float
        Seconds to wait for a connection and for each answer.
    idle_s : float
        Seconds without anything to send after which the association is released.
    retry : RetrySettings
    """

    kind: Literal["c-store"]
    ae_title: AeTitle
    calling_ae: AeTitle | None = None
    address: IPv4Address | IPv6Address | Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._-]+$")]
    port: int = pydantic.Field(default=104, ge=1, le=65535)
    tls: TlsSettings | None = None
    idle_s: float = pydantic.Field(default=2.0, gt=0)


class Stow(_Destination):
    """A destination that takes instances by DICOMweb STOW-RS (PS3.18 10.5).

    Attributes
    ----------
    name : str
    url : str
        Of the DICOMweb service: what comes before ``/studies``.
    user, password_file : str and Path, optional
        For HTTP basic authentication; the password is the first line of the file.
    token_file : Path, optional
        Its first line is sent as bearer token.
    authorities : Path, optional
        PEM file of the authorities that the certificate of the service is to be of; those of the system when not given.
    certificate, key : Path, optional
        PEM files of the own certificate and its private key, where the service wants one.
    timeout_s : float
    retry : RetrySettings
    """

    kind: Literal["stow"]
    url: Annotated[str, pydantic.Field(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$")]
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Stow:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.user is not None and self.token_file is not None:
            raise ValueError("give either user and password_file, or token_file")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


Destination = Annotated[CStore | Stow, pydantic.Field(discriminator="kind")]

Patterns = tuple[Annotated[str, pydantic.Field(min_length=1)], ...]


class RuleSettings(_Table):
    """What is done with instances of some kind. The first rule that fits an instance holds for it.

    Attributes
    ----------
    modality, calling_ae, series_description : tuple of str
        Patterns, in which ``*`` stands for anything and ``?`` for one character; case does not count. One of each that
        is given must fit: Modality (0008,0060), AE title of the sender, Series Description (0008,103E).
    action : {"enhance", "forward", "drop"}
        Enhance and send on; send on untouched; or take and forget. What cannot be enhanced is sent on untouched.
    model : str, optional
        In place of that of ``[service.enhance]``.
    destinations : tuple of str, optional
        Names of those that get it; all when not given.
    send : tuple of {"source", "derived"}
        What they get of an instance that was enhanced. The source of one that was not is always sent.
    """

    modality: Patterns = ()
    calling_ae: Patterns = ()
    series_description: Patterns = ()
    action: Literal["enhance", "forward", "drop"] = "enhance"
    model: str | None = None
    destinations: Annotated[tuple[DestinationName, ...], pydantic.Field(min_length=1)] | None = None
    send: Annotated[tuple[Literal["source", "derived"], ...], pydantic.Field(min_length=1)] = ("source", "derived")

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> RuleSettings:
        if self.model is not None and self.action != "enhance":
            raise ValueError(f"model goes with action 'enhance', not with '{self.action}'")
        return self


class SeriesSettings(_Table):
    """How long a series is waited for whose values map to a range of its own: MR, PET and others, not CT.

    Attributes
    ----------
    quiet_s : float
        Seconds without another instance after which it counts as complete.
    longest_s : float
        Seconds since its first instance after which those that are there must do.
    """

    quiet_s: float = pydantic.Field(default=10.0, gt=0)
    longest_s: float = pydantic.Field(default=300.0, gt=0)


class SpoolSettings(_Table):
    """Where instances lie until they are sent: the table ``[service.spool]``.

    Attributes
    ----------
    folder : Path
        For this service alone; its parent must be there.
    quota_mb : int, optional
        MiB that it may hold; senders are told that there is no room beyond. No limit but the disk when not given.
    reserve_mb : int
        MiB of the disk that received instances leave free.
    keep_days : float
        Days for which the journal of what was sent, and the ranges of series, are kept.
    tries : int
        How often the process may die while it enhances an instance; it is sent on untouched then.
    """

    folder: Path
    quota_mb: int | None = pydantic.Field(default=None, ge=1)
    reserve_mb: int = pydantic.Field(default=512, ge=0)
    keep_days: float = pydantic.Field(default=30.0, gt=0)
    tries: int = pydantic.Field(default=10, ge=1)


class DicomSettings(Settings):
    """A DICOM node.

    Attributes
    ----------
    receive : ReceiveSettings
    spool : SpoolSettings
    enhance : EnhanceSettings
    series : SeriesSettings
    destination : tuple of CStore and Stow
        At least one.
    rule : tuple of RuleSettings
        In order. What none fits is enhanced and sent to all destinations.
    compress : {"jpeg2000", "rle"}, optional
        Lossless compression of derived objects.
    allow_burned_in : bool
        Enhance instances that say that text is burned into their pixels.
    max_pixels : int, optional
        Pixels of one instance above which it is not enhanced; 2^28 when not given.
    """

    kind: Literal["dicom"]
    receive: ReceiveSettings
    spool: SpoolSettings
    enhance: EnhanceSettings = EnhanceSettings()
    series: SeriesSettings = SeriesSettings()
    destination: tuple[Destination, ...] = pydantic.Field(min_length=1)
    rule: tuple[RuleSettings, ...] = ()
    compress: Literal["jpeg2000", "rle"] | None = None
    allow_burned_in: bool = False
    max_pixels: int | None = pydantic.Field(default=None, ge=1)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> DicomSettings:
        names = [d.name for d in self.destination]
        if len(set(names)) < len(names):
            raise ValueError("two destinations have the same name")
        for rule in self.rule:
            for name in rule.destinations or ():
                if name not in names:
                    raise ValueError(f"a rule names the destination '{name}'; there are: {', '.join(names)}")
        return self

    @pydantic.field_validator("rule", "destination", mode="before")
    @classmethod
    def _tables(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError("wanted a list of tables: write it in double brackets")
        return value
