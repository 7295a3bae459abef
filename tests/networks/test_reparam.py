"""The re-parameterised convolution is one convolution."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from acutance.networks.reparam import ReparamConv  # noqa: E402


def stirred(block: ReparamConv) -> ReparamConv:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in block.parameters():
            fan = p[0].numel() if p.dim() > 1 else 10
            p.copy_(0.8 * torch.randn(p.shape, generator=generator) / fan**0.5)
    return block


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 6), (3, 5)])
def test_a_block_equals_its_branches_at_the_borders_too(inputs: int, outputs: int) -> None:
    block = stirred(ReparamConv(inputs, outputs))
    x = torch.rand(2, inputs, 7, 9)
    with torch.no_grad():
        wanted = block.branches(x)
        torch.testing.assert_close(block(x), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(block.fused()(x), wanted, atol=1e-5, rtol=0)
        assert (wanted - torch.nn.functional.conv2d(x, block.plain.weight, block.plain.bias, padding=1)).std() > 0.1


def test_a_kernel_that_is_set_is_the_one_it_has() -> None:
    block = stirred(ReparamConv(4, 4))
    weight, bias = torch.rand(4, 4, 3, 3), torch.rand(4)
    block.set_kernel(weight, bias)
    got = block.kernel()
    torch.testing.assert_close(got[0], weight)
    torch.testing.assert_close(got[1], bias)
