"""Engines on the disk, found by what they were built from.

A file is named by model, precision, tile, flavour and GPU; its sidecar holds a key over everything that shaped it. What
does not match, or may have been written by others (see :mod:`.trusted`), is refused with the reason and built anew.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pydantic

from .. import beside
from ..errors import BackendError
from ..model import Model
from . import flavour as flavours
from . import options as checks
from . import trusted
from .build import build
from .device import Device
from .flavour import Flavour
from .options import Options
from .progress import Progress
from .tensors import Tensor, describe
from .timing import TimingCache
from .trusted import Absent, Refused

ENGINE, RUNTIME, TIMING = ".engine", ".runtime", ".timing"
"""Suffixes of the store's files: engines, runtime caches of TensorRT-RTX, timing caches of full TensorRT."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """The model file that an engine was built from; ``sha256`` is of the ONNX file's bytes."""

    name: str
    version: str
    precision: str
    sha256: str


class Maker(_Strict):
    """Flavour and full version of TensorRT."""

    name: Literal["tensorrt", "rtx"]
    version: str


class Parts(_Strict):
    """Everything that shapes an engine."""

    model: Source
    options: dict[str, Any]
    io: tuple[Tensor, ...]
    flavour: Maker
    device: Device

    @property
    def key(self) -> str:
        """SHA-256 over all of it, in hex."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Record(_Strict):
    """The sidecar of an engine; ``sha256`` and ``size`` (bytes) are of the engine."""

    format: Literal[1] = 1
    key: str
    parts: Parts
    built: str
    seconds: float
    acutance: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Stored:
    """An engine that may be deserialised.

    Attributes
    ----------
    plan : bytes
        The very bytes that were checked.
    path : Path
    record : Record
    device : Device
        The GPU that it was asked for.
    built : bool
        Whether it was built just now.
    reason : str
        Why the engine that was there was refused; nothing when none was.
    """

    plan: bytes = dataclasses.field(repr=False)
    path: Path
    record: Record
    device: Device
    built: bool
    reason: str = ""

    @property
    def _runtime(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.{self.device.slug}{RUNTIME}")

    def runtime_cache(self) -> bytes:
        """Return the kernels that TensorRT-RTX compiled for this engine on this GPU; empty when none are kept."""
        try:
            data, record = trusted.read(self._runtime)
        except Refused:
            return b""
        return data if record.get("engine") == self.record.sha256 else b""

    def keep_runtime_cache(self, data: bytes) -> None:
        """Keep the compiled kernels for the next start.

        Raises
        ------
        OutputError
        """
        with trusted.lock(self._runtime):
            trusted.write(self._runtime, data, {"kind": "runtime cache", "engine": self.record.sha256})


def parts_of(model: Model, options: Options, device: Device, flavour: Flavour) -> Parts:
    """Return what shapes an engine. Which flavour was asked for does not count, but which one it is."""
    meta = model.meta
    return Parts(
        model=Source(name=meta.name, version=meta.version, precision=meta.precision, sha256=model.sha256),
        options=options.model_dump(mode="json", exclude={"flavour"}),
        io=describe(model, options),
        flavour=Maker(name=flavour.name, version=flavour.version),
        device=device,
    )


def default_folder() -> Path:
    """Return the user's folder of engines: ``$ACUTANCE_ENGINES``, else ``acutance/engines`` in the cache folder."""
    said = os.environ.get("ACUTANCE_ENGINES")
    return Path(said) if said else beside.cache_folder() / "engines"


class Store:
    """One folder of engines.

    Parameters
    ----------
    folder : path, optional
        Default: :func:`default_folder`. It is made when first needed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)

    def path(self, model: Model, options: Options, device: Device, flavour: Flavour) -> Path:
        """Return the place of an engine."""
        shape = f"{options.tile_text}.b{options.batches[-1]}{'.nhwc' if options.channels_last else ''}"
        return self.folder / f"{model.meta.name}.{options.precision}.{shape}.{flavour.name}.{device.slug}{ENGINE}"

    def get(
        self,
        model: Model,
        options: Options,
        device: Device,
        *,
        progress: Progress | None = None,
        flavour: Flavour | None = None,
        target: Device | None = None,
    ) -> Stored:
        """Return an engine, built if need be; a second caller waits for the first and takes what it built.

        With TensorRT-RTX an engine that was built from afar for the GPU's compute capability serves too.

        Parameters
        ----------
        model : Model
            In the precision of the options.
        options : Options
        device : Device
        progress : Progress, optional
        flavour : Flavour, optional
            Default: what ``options.flavour`` names.
        target : Device, optional
            Build for this in place of ``device``, where it is to run.

        Raises
        ------
        BackendError
            There is no TensorRT, it cannot build the engine, or the folder is not the user's own.
        ModelError, UsageError
            TensorRT cannot read the model, or the options do not fit it.
        OutputError
            The engine cannot be written.
        """
        checks.check(model, options)
        flavour = flavour or flavours.load(options.flavour)
        trusted.open_folder(self.folder)
        path = self.path(model, options, target or device, flavour)
        wanted = parts_of(model, options, target or device, flavour)
        with trusted.lock(path):
            try:
                plan, record = _find(path, wanted)
                return Stored(plan, path, record, device, built=False)
            except Absent:
                reason = ""
            except Refused as e:
                reason = str(e)
            if flavour.name == "rtx" and device.present and target is None:
                found = self._from_afar(model, options, device, flavour, reason)
                if found is not None:
                    return found
            built = self._build(path, model, options, target or device, flavour, progress)
            return dataclasses.replace(built, device=device, reason=reason)

    def _build(
        self,
        path: Path,
        model: Model,
        options: Options,
        device: Device,
        flavour: Flavour,
        progress: Progress | None,
    ) -> Stored:
        """Build an engine and write it; the caller holds its lock."""
        wanted = parts_of(model, options, device, flavour)
        timing = TimingCache(self.folder, device, flavour)
        built = build(model, options, device, flavour=flavour, progress=progress, timing=timing)
        line = {
            "format": 1,
            "key": wanted.key,
            "parts": wanted.model_dump(mode="json"),
            "built": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(built.seconds, 3),
            "acutance": importlib.metadata.version("acutance"),
        }
        trusted.write(path, built.plan, line)
        plan, record = _find(path, wanted)
        return Stored(plan, path, record, device, built=True)

    def _from_afar(
        self, model: Model, options: Options, device: Device, flavour: Flavour, reason: str
    ) -> Stored | None:
        """Return the engine built for the device's compute capability alone, if there is one that may be used."""
        target = device.as_target()
        path = self.path(model, options, target, flavour)
        if not path.exists():
            return None
        with trusted.lock(path):
            try:
                plan, record = _find(path, parts_of(model, options, target, flavour))
            except Refused:
                return None
        return Stored(plan, path, record, device, built=False, reason=reason)

    def engines(self) -> Iterator[tuple[Path, Record | Refused]]:
        """Yield every engine of the folder with its sidecar or with why it is refused.

        Raises
        ------
        BackendError
            The folder is not the user's own.
        """
        if not self.folder.exists():
            return
        trusted.open_folder(self.folder)
        for path in sorted(self.folder.glob(f"*{ENGINE}")):
            found: Record | Refused = Refused("busy: it is being built")
            with trusted.lock(path, wait=False) as held:
                if held:
                    try:
                        found = _read(path)[1]
                    except Refused as e:
                        found = e
            yield path, found

    def prune(self, everything: bool = False) -> list[tuple[Path, str]]:
        """Remove what cannot be used any more; return the files with the reasons.

        That is engines that are refused or were built by another version of TensorRT than the installed one, caches
        that belong to no engine, and what killed builders left. With ``everything`` all engines and caches go, but for
        those that are being built.

        Raises
        ------
        OutputError
        BackendError
            The folder is not the user's own.
        """
        gone = []
        for path, found in self.engines():
            why = str(found) if isinstance(found, Refused) else ("asked for" if everything else outdated(found))
            if why and self._remove(path):
                gone.append((path, why))
        kept = {r.sha256 for _, r in self.engines() if isinstance(r, Record)}
        for path in sorted(self.folder.glob(f"*{RUNTIME}")):
            try:
                why = "" if trusted.read(path)[1].get("engine") in kept else "its engine is gone"
            except Refused as e:
                why = str(e)
            if why and self._remove(path):
                gone.append((path, why))
        for path in sorted(self.folder.glob(f"*{TIMING}")) if everything else ():
            if self._remove(path):
                gone.append((path, "asked for"))
        beside.sweep(self.folder)
        return gone

    def _remove(self, path: Path) -> bool:
        with trusted.lock(path, wait=False) as held:
            if held:
                trusted.remove(path)
            return held


def outdated(record: Record) -> str:
    """Say why an engine is of no use to the TensorRT installed here; nothing when it is, or when there is none."""
    maker = record.parts.flavour
    try:
        now = flavours.load(maker.name).version
    except BackendError:
        return ""
    if maker.version != now:
        return f"stale: built by {flavours.title(maker.name)} {maker.version}; installed is {now}"
    return ""


def _read(path: Path) -> tuple[bytes, Record]:
    """Return an engine and its sidecar, or raise Refused."""
    plan, line = trusted.read(path)
    try:
        record = Record.model_validate_json(json.dumps(line))
    except pydantic.ValidationError as e:
        where = ".".join(str(x) for x in e.errors()[0]["loc"])
        raise Refused(f"stale: its sidecar is not of this version, at {where}") from None
    if record.key != record.parts.key:
        raise Refused("tampered: the key in its sidecar is not that of its parts")
    return plan, record


def _find(path: Path, wanted: Parts) -> tuple[bytes, Record]:
    """Return the engine at ``path`` if it is the wanted one, or raise Refused."""
    plan, record = _read(path)
    if record.key != wanted.key:
        was, now = record.parts.model_dump(mode="json"), wanted.model_dump(mode="json")
        raise Refused(f"stale: {_difference(was, now)}")
    return plan, record


def _difference(was: Any, now: Any, where: str = "") -> str:
    """Name the first thing in which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**now, **was}:
            if was.get(key) != now.get(key):
                return _difference(was.get(key), now.get(key), f"{where}.{key}" if where else key)
    return f"{where} was {_short(was)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
