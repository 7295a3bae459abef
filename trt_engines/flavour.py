"""TensorRT comes in two flavours with one Python interface: full TensorRT and TensorRT-RTX."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args

from ..errors import BackendError, UsageError

Name = Literal["tensorrt", "rtx"]

MODULES = {"tensorrt": ("tensorrt",), "rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
"""Modules to try, in this order."""

VERSIONS = {"tensorrt": ((10, 3), (12, 0)), "rtx": ((1, 0), (2, 0))}
"""First version that works, and the first that is not known."""

REMEDIES = {
    "tensorrt": "JetPack brings it; elsewhere `pip install tensorrt`",
    "rtx": "`pip install 'acutance[tensorrt]'`",
}


class Messages:
    """What TensorRT says while it works.

    Attributes
    ----------
    errors : list of str
    engine : str
        Layers, inputs and outputs of the engine, which the builder prints at the end when verbosity is detailed.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.engine = ""

    def take(self, severity: str, text: str) -> None:
        """Keep one message."""
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(" ".join(text.split()))
        elif text.startswith("Layers:"):
            self.engine = text

    def reason(self) -> str:
        """Return the first error, which is the cause of those that follow."""
        return self.errors[0] if self.errors else "TensorRT gives no reason"


@dataclasses.dataclass(frozen=True, eq=False)
class Flavour:
    """TensorRT as it is installed.

    Attributes
    ----------
    name : str
        ``"tensorrt"`` or ``"rtx"``.
    trt : module
    version : str
        All of it, as ``1.7.1.116``.
    """

    name: Name
    trt: Any
    version: str

    @functools.cached_property
    def logger(self) -> Any:
        """The one logger of the process: TensorRT keeps the first that it is given and calls it to the end."""
        return _logger(self.trt)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Messages]:
        """Collect what TensorRT says within the block."""
        messages = Messages()
        listeners = self.logger.listeners
        listeners.append(messages)
        try:
            yield messages
        finally:
            listeners.remove(messages)


def load(name: str = "auto") -> Flavour:
    """Import TensorRT.

    Parameters
    ----------
    name : str
        ``"tensorrt"``, ``"rtx"``, or ``"auto"``: full TensorRT where it is installed, else TensorRT-RTX.

    Raises
    ------
    BackendError
        It is not installed, does not load, or its version is not known; the message says what helps.
    UsageError
        There is no such flavour.
    """
    if name == "auto":
        missing = []
        for each in get_args(Name):
            try:
                return load(each)
            except BackendError as e:
                missing.append(e.message)
        raise BackendError("; ".join(missing))
    if name not in get_args(Name):
        raise UsageError(f"no flavour of TensorRT is named '{name}'; there are: auto, {', '.join(get_args(Name))}")
    return _load(name)


@functools.cache
def _load(name: Name) -> Flavour:
    errors = []
    for module in MODULES[name]:
        try:
            trt = importlib.import_module(module)
        except (ImportError, OSError) as e:  # OSError: a library of it is missing
            errors.append(str(e))
            continue
        return check(Flavour(name, trt, str(trt.__version__)))
    raise BackendError(f"{title(name)} cannot be imported ({errors[0]}); {REMEDIES[name]}")


def check(flavour: Flavour) -> Flavour:
    """Return the flavour if its version is one that the calls here are known for.

    Raises
    ------
    BackendError
    """
    first, beyond = VERSIONS[flavour.name]
    found = re.match(r"(\d+)\.(\d+)", flavour.version)
    if found is None or not first <= (int(found[1]), int(found[2])) < beyond:
        wanted = f"{first[0]}.{first[1]} or newer, below {beyond[0]}"
        raise BackendError(f"{title(flavour.name)} is {flavour.version}; wanted {wanted}; {REMEDIES[flavour.name]}")
    return flavour


def title(name: str) -> str:
    """Return the name that NVIDIA gives it."""
    return {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}[name]


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.listeners: list[Messages] = []

        def log(self, severity: Any, text: str) -> None:
            for messages in tuple(self.listeners):
                messages.take(severity.name, text)

    return Logger()
