"""The network's size and field, and that a fused network is the trained one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402
from acutance.errors import UsageError  # noqa: E402
from acutance.networks.reparam import ReparamConv  # noqa: E402


def stirred(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter a value that matters, biases and gains too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            fan = p[0].numel() if p.dim() > 1 else 10
            p.copy_(0.8 * torch.randn(p.shape, generator=generator) / fan**0.5)
    return network.eval()


def test_rt_has_the_stated_size() -> None:
    network = networks.build("rt")
    assert sum(p.numel() for p in network.parameters()) == 47_716
    assert network.radius == 7


@pytest.mark.parametrize(("depth", "expand"), [(0, 0), (2, 0), (5, 2)])
def test_the_radius_is_how_far_a_change_reaches(depth: int, expand: int) -> None:
    network = stirred(networks.build("rt", depth=depth, width=8, expand=expand))
    side = 2 * network.radius + 5
    x = torch.rand(1, 1, side, side, requires_grad=True)
    centre = network(x)[0, :, side // 2, side // 2]
    (reached,) = torch.autograd.grad(centre.abs().sum(), x)
    rows = torch.nonzero(reached[0, 0].abs().sum(dim=1))
    assert (rows.max() - rows.min()).item() == 2 * network.radius


@pytest.mark.parametrize("expand", [0, 2])
def test_without_padding_comes_what_padding_has_not_touched(expand: int) -> None:
    network = stirred(networks.build("rt", depth=2, width=8, expand=expand))
    x, r = torch.rand(2, 1, 21, 26), network.radius
    with torch.no_grad():
        torch.testing.assert_close(network(x, padding=0), network(x)[:, :, r:-r, r:-r], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 6), (3, 5)])
def test_a_block_equals_its_branches_at_the_borders_too(inputs: int, outputs: int) -> None:
    block = stirred(ReparamConv(inputs, outputs))
    x = torch.rand(2, inputs, 7, 9)
    with torch.no_grad():
        wanted = block.branches(x)
        torch.testing.assert_close(block(x), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(block.fused()(x), wanted, atol=1e-5, rtol=0)
        assert (wanted - torch.nn.functional.conv2d(x, block.plain.weight, block.plain.bias, padding=1)).std() > 0.1


def test_the_fused_network_equals_the_trained_one() -> None:
    network = stirred(networks.build("rt", expand=2))
    fused = network.fused()
    assert sum(p.numel() for p in fused.parameters()) == 47_716
    assert fused.radius == network.radius
    x = torch.rand(1, 1, 20, 24)
    with torch.no_grad():
        wanted = network(x)
        assert wanted.std() > 0.02
        torch.testing.assert_close(fused(x), wanted, atol=1e-5, rtol=0)


def test_a_fresh_network_adds_little_but_can_learn() -> None:
    torch.manual_seed(0)
    network = networks.build("rt", expand=2)
    residual = network(torch.rand(1, 1, 32, 32))
    assert 0 < residual.std() < 0.1
    residual.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.layers[0].parameters())


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network is named 'vgg'; there are: rt"):
        networks.build("vgg")
