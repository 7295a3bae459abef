"""`bal`'s size, and what its blocks compute."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402
from acutance.networks.bal import Block  # noqa: E402


def test_bal_has_the_stated_size() -> None:
    network = networks.build("bal")
    assert sum(p.numel() for p in network.parameters()) == 406_372
    assert network.radius == 21


@pytest.mark.parametrize("expand", [0, 2])
def test_a_signal_lives_through_a_fresh_network(expand: int) -> None:
    torch.manual_seed(0)
    network = networks.build("bal", expand=expand)
    assert isinstance(network, networks.Bal)
    with torch.no_grad():
        x = network.head(torch.rand(1, 1, 32, 32))
        for block in network.blocks:
            x = block(x, 1)
            assert 0.05 < x.std() < 20


def test_a_block_weighs_its_result_by_how_large_it_is() -> None:
    block = Block(3, 0)
    with torch.no_grad():
        for layer in block.layers:
            assert isinstance(layer, torch.nn.Conv2d)
            layer.weight.zero_()
        last = block.layers[2]
        assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
        last.bias.copy_(torch.tensor([0.0, 2.0, -40.0]))
        x = torch.rand(1, 3, 4, 5)
        out = block(x, 1)
    torch.testing.assert_close(out[:, 0], torch.zeros(1, 4, 5))
    torch.testing.assert_close(out[:, 1], (x[:, 1] + 2) * (0.880797 - 0.5))
    torch.testing.assert_close(out[:, 2], (x[:, 2] - 40) * -0.5)
