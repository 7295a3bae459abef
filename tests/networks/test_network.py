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
    "guided rt": functools.partial(networks.build, "guided", width=5, trunk={"kind": "rt", "width": 8, "expand": 2}),
    "guided bal": functools.partial(
        networks.build, "guided", scale=3, width=5, trunk={"kind": "bal", "width": 6, "blocks": 3}
    ),
    "seq": functools.partial(networks.build, "seq", width=8, depth=2, state=3, expand=1, scale=3),
}


def stirred(network: networks.Network, seed: int = 0) -> networks.Network:
    """Give every parameter a value that matters, biases and gains too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            fan = p[0].numel() if p.dim() > 1 else 10
            p.copy_(0.8 * torch.randn(p.shape, generator=generator) / fan**0.5)
    return network.eval()


def given(network: networks.Network, n: int, rows: int, cols: int) -> list[torch.Tensor]:
    """Return noise for every input of a network."""
    return [torch.rand(n, i.channels * i.unshuffle**2, rows, cols) for i in network.inputs]


def residual(network: networks.Network, inputs: list[torch.Tensor], **how: int) -> torch.Tensor:
    return networks.several(network(*inputs, **how))[0]


@pytest.fixture(params=MAKES.values(), ids=MAKES.keys())
def network(request: pytest.FixtureRequest) -> networks.Network:
    make: Make = request.param
    torch.manual_seed(0)
    return make()


BOUNDED = [name for name in MAKES if name != "seq"]


@pytest.mark.parametrize("network", [MAKES[name] for name in BOUNDED], ids=BOUNDED, indirect=True)
def test_the_radius_is_how_far_a_change_reaches(network: networks.Network) -> None:
    radius = stirred(network).radius
    assert radius is not None
    side = 2 * radius + 5
    inputs = [x.double().requires_grad_() for x in given(network, 1, side, side)]
    centre = residual(network.double(), inputs)[0, :, side // 2, side // 2]
    reach = []
    for found in torch.autograd.grad(centre.abs().sum(), inputs):
        rows = torch.nonzero(found[0].abs().sum(dim=(0, 2)))
        reach.append((rows.max() - rows.min()).item())
    assert reach[0] == max(reach) == 2 * radius


@pytest.mark.parametrize("network", [MAKES[name] for name in BOUNDED], ids=BOUNDED, indirect=True)
def test_without_padding_comes_what_padding_has_not_touched(network: networks.Network) -> None:
    r = stirred(network).radius
    assert r is not None
    x = given(network, 2, 2 * r + 5, 2 * r + 8)
    with torch.no_grad():
        wanted = residual(network, x)[:, :, r:-r, r:-r]
        torch.testing.assert_close(residual(network, x, padding=0), wanted, atol=1e-5, rtol=1e-5)


def test_what_comes_out_is_what_is_said(network: networks.Network) -> None:
    found = networks.several(stirred(network)(*given(network, 2, 9, 11)))
    assert [x.shape for x in found] == [(2, o.channels, 9, 11) for o in network.outputs]


def test_the_fused_network_equals_the_trained_one(network: networks.Network) -> None:
    stirred(network)
    fused = network.fused()
    assert fused.radius == network.radius
    assert not any("plain" in name for name, _ in fused.named_modules())
    x = given(network, 1, 20, 24)
    with torch.no_grad():
        for got, wanted in zip(networks.several(fused(*x)), networks.several(network(*x)), strict=True):
            assert wanted.std() > 1e-3
            torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_settings_are_read_back_from_fused_weights(network: networks.Network) -> None:
    fused = stirred(network).fused()
    kind = type(network).__name__.lower()
    again = networks.from_weights(kind, fused.state_dict(), network.scale)
    x = given(network, 1, 9, 9)
    with torch.no_grad():
        assert torch.equal(residual(again, x), residual(fused, x))


def test_a_network_starts_from_another_ones_weights(network: networks.Network) -> None:
    fused = stirred(network).fused()
    torch.manual_seed(1)
    other = stirred(network, seed=5)
    assert other.start_from(fused.state_dict()) == []
    x = given(network, 1, 20, 24)
    with torch.no_grad():
        torch.testing.assert_close(residual(other, x), residual(fused, x), atol=1e-5, rtol=1e-4)


def test_weights_of_another_scale_fit_all_but_the_last_layer() -> None:
    network = networks.build("bal", width=6, blocks=3, expand=1, scale=4)
    weights = networks.build("bal", width=6, blocks=3).state_dict()
    assert network.start_from(weights) == ["tail"]


def test_a_fresh_network_adds_little_but_can_learn(network: networks.Network) -> None:
    found = residual(network, given(network, 1, 32, 32))
    assert 0 < found.std() < 0.1
    found.square().sum().backward()
    name, first = networks.convolutions(network)[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in first.parameters()), name


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network is named 'vgg'; there are: bal, "):
        networks.build("vgg")
