"""`guided` is its trunk until a guide says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from acutance import networks  # noqa: E402
from acutance.errors import UsageError  # noqa: E402

TRUNKS: list[dict[str, Any]] = [{"kind": "rt", "width": 8, "depth": 3}, {"kind": "bal", "width": 6, "blocks": 3}]


@pytest.fixture(params=TRUNKS, ids=["rt", "bal"])
def both(request: pytest.FixtureRequest) -> tuple[networks.Network, networks.Guided]:
    """A trunk alone, and a guided network that starts from its weights."""
    torch.manual_seed(0)
    settings = dict(request.param)
    alone = networks.build(settings.pop("kind"), **settings)
    with torch.no_grad():
        for p in alone.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    guided = networks.build("guided", width=5, trunk=request.param)
    assert isinstance(guided, networks.Guided)
    missing = guided.start_from(alone.state_dict())
    assert missing == [f"{part}.{i}" for part in ("guide", "add") for i in range(3)]
    return alone.eval(), guided.eval()


def test_it_starts_as_its_trunk(both: tuple[networks.Network, networks.Guided]) -> None:
    alone, guided = both
    x, guide = torch.rand(2, 1, 40, 44), torch.rand(2, 4, 40, 44)
    with torch.no_grad():
        assert torch.equal(guided(x, guide), alone(x))
        assert torch.equal(guided(x, guide, padding=0), alone(x, padding=0))


def test_a_missing_guide_costs_nothing_and_one_changes_the_result(
    both: tuple[networks.Network, networks.Guided],
) -> None:
    alone, guided = both
    x, guide = torch.rand(2, 1, 9, 11), torch.rand(2, 4, 9, 11)
    for k in range(3):
        with torch.no_grad():
            for i, layer in enumerate(guided.add):
                assert isinstance(layer, torch.nn.Conv2d)
                layer.weight.normal_(std=1.0 if i == k else 0.0)
            assert torch.equal(guided(x, torch.zeros_like(guide)), alone(x))
            assert (guided(x, guide) - alone(x)).abs().max() > 1e-3


def test_the_guide_comes_in_at_the_first_the_middle_and_the_last_stage() -> None:
    rt = networks.build("guided", trunk={"kind": "rt"})
    bal = networks.build("guided", trunk={"kind": "bal"})
    assert isinstance(rt, networks.Guided) and isinstance(bal, networks.Guided)
    assert rt.places == (0, 2, 5) and bal.places == (0, 3, 6)
    assert (rt.radius, bal.radius) == (7, 21)


def test_a_trunk_with_too_few_stages_is_refused() -> None:
    with pytest.raises(UsageError, match="at 3 depths of its trunk; this one has 2"):
        networks.build("guided", trunk={"kind": "rt", "depth": 1})
