"""Muon's steps are what its paper says, and they learn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance.train import muon  # noqa: E402


@pytest.mark.parametrize("shape", [(48, 432), (64, 20), (17, 17)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, n))[0] for n in shape)
    count = min(shape)
    values = torch.linspace(1.0, 0.02, count)
    matrix = left[:, :count] * values @ right[:count]
    found = left[:, :count].T @ muon.orthogonal(matrix) @ right[:count].T
    singular = found.diagonal()
    assert singular.min() > 0.6 and singular.max() < 1.3
    assert (found - torch.diag(singular)).abs().max() < 1e-3


def test_kernels_take_steps_of_their_own_and_ends_those_of_adam() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 24, 3), torch.nn.Conv2d(24, 24, 3), torch.nn.Conv2d(24, 4, 3))
    twin = torch.nn.Sequential(torch.nn.Conv2d(1, 24, 3), torch.nn.Conv2d(24, 24, 3), torch.nn.Conv2d(24, 4, 3))
    twin.load_state_dict(net.state_dict())
    before = net[1].weight.detach().clone()
    ours, adam = muon.Muon(net.parameters(), lr=1e-2), torch.optim.Adam(twin.parameters(), lr=1e-2)
    for optimizer, one in ((ours, net), (adam, twin)):
        one(torch.ones(1, 1, 9, 9) + torch.arange(9.0)).square().mean().backward()
        optimizer.step()
    for i in (0, 2):
        torch.testing.assert_close(net[i].weight, twin[i].weight)
    torch.testing.assert_close(net[1].bias, twin[1].bias)
    step = (net[1].weight - before).flatten(1)
    slope = net[1].weight.grad.flatten(1)
    # The first step is the gradient made orthogonal.
    expected = -1e-2 * muon.SIZE * 216**0.5 * muon.orthogonal(slope)
    torch.testing.assert_close(step.detach(), expected, rtol=1e-3, atol=1e-5)
