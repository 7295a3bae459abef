"""`rt`'s size."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402


def test_rt_has_the_stated_size() -> None:
    network = networks.build("rt")
    assert sum(p.numel() for p in network.parameters()) == 47_716
    assert network.radius == 7
    fused = networks.build("rt", expand=2).fused()
    assert sum(p.numel() for p in fused.parameters()) == 47_716
