"""What every network must do, whatever its layers are."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402
from acutance.errors import UsageError  # noqa: E402

Make = Callable[[], networks.Network]

MAKES: dict[str, Make] = {
    "rt without inner layers": functools.partial(networks.build, "rt", depth=0, width=8),
    "rt of plain convolutions": functools.partial(networks.build, "rt", depth=2, width=8),
    "rt": functools.partial(networks.build, "rt", width=8, expand=2),
    "bal of plain convolutions": functools.partial(networks.build, "bal", width=6, blocks=3),
    "bal": functools.partial(networks.build, "bal", width=6, blocks=3, expand=2, scale=3),
}


def stirred(network: networks.Network, seed: int = 0) -> networks.Network:
    """Give every parameter a value that matters, biases and gains too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            fan = p[0].numel() if p.dim() > 1 else 10
            p.copy_(0.8 * torch.randn(p.shape, generator=generator) / fan**0.5)
    return network.eval()


@pytest.fixture(params=MAKES.values(), ids=MAKES.keys())
def network(request: pytest.FixtureRequest) -> networks.Network:
    make: Make = request.param
    torch.manual_seed(0)
    return make()


def test_the_radius_is_how_far_a_change_reaches(network: networks.Network) -> None:
    stirred(network)
    side = 2 * network.radius + 5
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    centre = network.double()(x)[0, :, side // 2, side // 2]
    (reached,) = torch.autograd.grad(centre.abs().sum(), x)
    rows = torch.nonzero(reached[0, 0].abs().sum(dim=1))
    assert (rows.max() - rows.min()).item() == 2 * network.radius


def test_without_padding_comes_what_padding_has_not_touched(network: networks.Network) -> None:
    stirred(network)
    r = network.radius
    x = torch.rand(2, 1, 2 * r + 5, 2 * r + 8)
    with torch.no_grad():
        torch.testing.assert_close(network(x, padding=0), network(x)[:, :, r:-r, r:-r], atol=1e-5, rtol=1e-5)


def test_the_fused_network_equals_the_trained_one(network: networks.Network) -> None:
    stirred(network)
    fused = network.fused()
    assert fused.radius == network.radius
    assert not any("plain" in name for name, _ in fused.named_modules())
    x = torch.rand(1, 1, 20, 24)
    with torch.no_grad():
        wanted = network(x)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(fused(x), wanted, atol=1e-5, rtol=1e-4)


def test_settings_are_read_back_from_fused_weights(network: networks.Network) -> None:
    fused = stirred(network).fused()
    kind = type(network).__name__.lower()
    again = networks.from_weights(kind, fused.state_dict(), network.scale)
    x = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        assert torch.equal(again(x), fused(x))


def test_a_network_starts_from_another_ones_weights(network: networks.Network) -> None:
    fused = stirred(network).fused()
    torch.manual_seed(1)
    other = stirred(network, seed=5)
    assert other.start_from(fused.state_dict()) == []
    x = torch.rand(1, 1, 20, 24)
    with torch.no_grad():
        torch.testing.assert_close(other(x), fused(x), atol=1e-5, rtol=1e-4)


def test_weights_of_another_scale_fit_all_but_the_last_layer() -> None:
    network = networks.build("bal", width=6, blocks=3, expand=1, scale=4)
    weights = networks.build("bal", width=6, blocks=3).state_dict()
    assert network.start_from(weights) == ["tail"]


def test_a_fresh_network_adds_little_but_can_learn(network: networks.Network) -> None:
    residual = network(torch.rand(1, 1, 32, 32))
    assert 0 < residual.std() < 0.1
    residual.square().sum().backward()
    name, first = networks.convolutions(network)[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in first.parameters()), name


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network is named 'vgg'; there are: bal, rt"):
        networks.build("vgg")
