"""The architectures, in PyTorch, one file each. A network gives a residual ``[N, s*s, h, w]`` before pixel shuffle."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from .rt import Rt

_KINDS = {"rt": Rt}


def build(kind: str, **settings: Any) -> Rt:
    """Make a network by name, with fresh weights from PyTorch's generator.

    Raises
    ------
    UsageError
        There is no such network.
    """
    if kind not in _KINDS:
        raise UsageError(f"no network is named '{kind}'; there are: {', '.join(_KINDS)}")
    return _KINDS[kind](**settings)


__all__ = ["Rt", "build"]
