"""A guided network is trained in a reduced form, learns from its guide, and loses nothing without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from acutance.export import check, write  # noqa: E402

from acutance import model, networks  # noqa: E402
from acutance.networks.weights import network_of  # noqa: E402
from acutance.train import loop, tasks, validate  # noqa: E402
from acutance.train import recipe as recipes  # noqa: E402
from acutance.train.tasks import guided  # noqa: E402

TRAINING = {
    "start": "", "steps": 6, "batch": 4, "patch": 12, "context": 2, "warmup": 2, "pool": 4, "validate_every": 3,
    "precision": "32-true",
}  # fmt: skip


def recipe_of(**changes: Any) -> recipes.Recipe:
    network = {"width": 6, "trunk": {"kind": "rt", "width": 8, "depth": 2, "expand": 1}}
    return recipes.load("mr-guided-x2", network=network, training={**TRAINING, **changes})


def test_the_shipped_recipe_trains_and_is_exported(small_data: Path, tmp_path: Path) -> None:
    trained = loop.train(recipe_of(), small_data, tmp_path, accelerator="cpu", devices=1, progress=False)
    assert [x.row for x in trained.lines] == ["k-space, guide made of the truth", "k-space, no guide"]
    path = tmp_path / "guided.onnx"
    write(trained.network, trained.metadata(), path)
    check(trained.network, path)
    meta = model.load(path).meta
    assert (meta.network, meta.halo) == ("guided", 4)
    assert [(i.role, i.channels, i.unshuffle) for i in meta.inputs] == [("lr", 1, 1), ("guide", 1, 2)]
    again = network_of(model.load(path))
    assert isinstance(again, networks.Guided) and isinstance(again.trunk, networks.Rt)


def test_a_network_learns_from_its_guide(small_data: Path) -> None:
    recipe = recipe_of(batch=8)
    easy = recipe.task.model_copy(update={"shift": 0.0, "blur": (0.0, 0.0), "missing": 0.0})
    task = tasks.of(recipe.model_copy(update={"task": easy}))
    (learner,) = task.begin()
    task.load(small_data, 0)
    batch, models = task.batch(0, 8), {"network": learner.module}
    for group in learner.optimizer.param_groups:
        group["lr"] = 5e-3
    for _ in range(150):
        learner.optimizer.zero_grad()
        task.loss("network", models, batch).backward()
        learner.optimizer.step()
    with torch.no_grad():
        found = task.loss("network", models, batch)
        without = task.loss("network", models, {**batch, "guide": torch.zeros_like(batch["guide"])})
    assert found < 0.95 * without


def test_the_guide_is_seen_where_the_picture_is(small_data: Path) -> None:
    """A network that adds a guide, made of the truth by no curve, to its residual gives the truth's own detail."""
    recipe = recipe_of()
    case = validate.cases(small_data, recipe)[0]
    low, high = case.span
    seen = ((np.asarray(case.truth, np.float32) - low) / (high - low)).astype(np.float32)

    class Copies(torch.nn.Module):
        radius = 3

        def forward(self, lr: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
            del lr
            return guide

    padded = np.pad(seen, 6, mode="symmetric")
    found = validate.enlarge(Copies(), case, recipe, torch.from_numpy(guided.unshuffled(padded, 2))[None])  # type: ignore[arg-type]
    base = validate.enlarge(None, case, recipe)
    np.testing.assert_allclose(found - base, case.truth - low, atol=0.05)
