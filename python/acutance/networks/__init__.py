"""The architectures, in PyTorch, one file each. A network gives a residual ``[N, s*s, h, w]`` before pixel shuffle."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import UsageError
from .bal import Bal
from .bal_q import BalQ
from .guided import Guided
from .network import Network, convolutions, several
from .rt import Rt
from .seq import Seq

_KINDS: dict[str, type[Network]] = {"bal": Bal, "bal-q": BalQ, "guided": Guided, "rt": Rt, "seq": Seq}


def _kind(name: str) -> type[Network]:
    if name not in _KINDS:
        raise UsageError(f"no network is named '{name}'; there are: {', '.join(_KINDS)}")
    return _KINDS[name]


def build(kind: str, **settings: Any) -> Network:
    """Make a network by name, with fresh weights from PyTorch's generator.

    Raises
    ------
    UsageError
        There is no such network.
    """
    return _kind(kind)(**settings)


def from_weights(kind: str, weights: dict[str, Tensor], scale: int) -> Network:
    """Make a fused network of its weights; its other settings are read from their shapes.

    Raises
    ------
    UsageError
        There is no such network.
    KeyError, RuntimeError
        The weights are another network's.
    """
    found = _kind(kind)
    network = found(scale=scale, **found.settings_of(weights))
    network.load_state_dict(weights)
    return network


__all__ = ["Bal", "BalQ", "Guided", "Network", "Rt", "Seq", "build", "convolutions", "from_weights", "several"]
