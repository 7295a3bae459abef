"""`seq` is `rt` until it remembers, and what it remembers comes from earlier frames alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402


def stirred() -> tuple[networks.Rt, networks.Seq]:
    """Return a network without a memory and one that starts from its weights."""
    torch.manual_seed(0)
    plain = networks.build("rt", width=8, depth=2)
    seq = networks.build("seq", width=8, depth=2, state=3)
    assert isinstance(plain, networks.Rt) and isinstance(seq, networks.Seq)
    with torch.no_grad():
        for p in plain.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    assert seq.start_from(plain.state_dict()) == ["memory", "remember"]
    return plain.eval(), seq.eval()


def test_seq_has_the_stated_size_and_no_bound() -> None:
    network = networks.build("seq")
    assert sum(p.numel() for p in network.parameters()) == 264_260
    assert network.radius is None and network.frames == 2
    assert [i.role for i in network.inputs] == ["lr", "lr_previous", "previous", "state"]
    assert [o.role for o in network.outputs] == ["residual", "state"]


def test_it_starts_as_the_network_without_a_memory() -> None:
    plain, seq = stirred()
    x = torch.rand(2, 1, 9, 11)
    with torch.no_grad():
        found, state = seq(x, torch.rand(2, 1, 9, 11), torch.rand(2, 4, 9, 11), torch.rand(2, 3, 9, 11))
        torch.testing.assert_close(found, plain(x))
    assert state.min() == 0 < state.max()


def test_a_memory_of_zeros_counts_for_nothing_and_another_does() -> None:
    plain, seq = stirred()
    with torch.no_grad():
        seq.memory.weight.normal_()
        x, before, result = torch.rand(1, 1, 9, 11), torch.zeros(1, 1, 9, 11), torch.zeros(1, 4, 9, 11)
        first, state = seq(x, before, result, torch.zeros(1, 3, 9, 11))
        torch.testing.assert_close(first, plain(x))
        for remembered in ((x, result, 0 * state), (before, result + 0.5, 0 * state), (before, result, state)):
            assert (seq(x, *remembered)[0] - first).abs().max() > 1e-3


def test_what_is_learnt_from_later_frames_reaches_the_state() -> None:
    _, seq = stirred()
    torch.nn.init.normal_(seq.memory.weight)
    x = torch.rand(1, 1, 9, 11)
    _, state = seq(x, torch.zeros_like(x), torch.zeros(1, 4, 9, 11), torch.zeros(1, 3, 9, 11))
    second, _ = seq(x, x, torch.zeros(1, 4, 9, 11), state)
    second.square().sum().backward()
    assert seq.remember.weight.grad is not None and seq.remember.weight.grad.abs().max() > 0
