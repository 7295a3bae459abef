"""The configuration of ``acutance serve``: one TOML file, each mistake in it named with its key."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pydantic

from ..errors import UsageError
from .kinds import KINDS
from .service import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECRET = re.compile("token|password|secret", re.IGNORECASE)
"""Keys whose values no message shows."""


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class MonitorSettings(_Table):
    """Where ``/metrics`` and ``/health`` are: the table ``[monitor]``, without which they are nowhere."""

    address: str = "127.0.0.1"
    port: int = pydantic.Field(default=9090, ge=0, le=65535)


class LogSettings(_Table):
    """What is logged and where: the table ``[logs]``.

    Attributes
    ----------
    level : str
    file : Path, optional
        Lines are added to it; standard error when not given.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = None


class Config(_Table):
    """All of a configuration.

    Attributes
    ----------
    monitor : MonitorSettings, optional
    logs : LogSettings
    drain_s : float
        Seconds that services have to finish what they have begun when the program is told to end.
    services : tuple of Settings
        One for each ``[[service]]``, of the class of its kind.
    """

    monitor: MonitorSettings | None = None
    logs: LogSettings = LogSettings()
    drain_s: float = pydantic.Field(default=20.0, ge=0, le=3600)
    services: tuple[pydantic.SerializeAsAny[Settings], ...]


def read(path: str | os.PathLike[str]) -> Config:
    """Read and check a configuration.

    Raises
    ------
    UsageError
        It cannot be read, is no TOML, or has mistakes: one line names the file and all of them by their keys.
    """
    try:
        said = tomllib.loads(Path(path).read_bytes().decode())
    except OSError as e:
        raise UsageError(f"cannot be read ({e.strerror})", path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"is no TOML: {e}", path) from None
    services, mistakes = _services(said.pop("service", []))
    try:
        config = Config.model_validate({**said, "services": ()})
    except pydantic.ValidationError as e:
        mistakes = [*said_of(e), *mistakes]
    if mistakes:
        raise UsageError("; ".join(mistakes), path)
    return config.model_copy(update={"services": tuple(services)})


def _services(tables: Any) -> tuple[list[Settings], list[str]]:
    """Check each ``[[service]]``; return their settings and the mistakes."""
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        return [], ["service: there is none; wanted at least one table [[service]] with kind and name"]
    found: list[Settings] = []
    mistakes: list[str] = []
    for number, table in enumerate(tables, 1):
        where = f"service {number}" + (f" ('{table['name']}')" if isinstance(table.get("name"), str) else "")
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            got = "it is missing" if kind is None else f"got {kind!r}"
            mistakes.append(f"{where}: kind: wanted one of {', '.join(sorted(KINDS))}; {got}")
            continue
        try:
            settings = KINDS[kind].model_validate(table)
        except pydantic.ValidationError as e:
            mistakes += [f"{where}: {mistake}" for mistake in said_of(e)]
            continue
        if settings.name in {s.name for s in found}:
            mistakes.append(f"{where}: name: another service has it; names must differ")
        found.append(settings)
    return found, mistakes


def said_of(error: pydantic.ValidationError) -> Iterable[str]:
    """Say in a few words what is wrong, for each key."""
    for one in error.errors():
        key = ".".join(str(x) for x in one["loc"]) or "the table"
        what = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            what = "there is no such key"
        elif one["type"] == "missing":
            what = "it is missing"
        elif isinstance(one["input"], str | int | float | bool) and not SECRET.search(key):
            what += f"; got {str(one['input'])[:60]!r}" if isinstance(one["input"], str) else f"; got {one['input']}"
        yield f"{key}: {what}"
