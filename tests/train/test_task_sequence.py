"""A network that remembers is trained in a reduced form, and what it remembers counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from acutance.export import check, write  # noqa: E402

from acutance import model, networks  # noqa: E402
from acutance.networks.weights import network_of  # noqa: E402
from acutance.train import checkpoint, loop, tasks  # noqa: E402
from acutance.train import recipe as recipes  # noqa: E402
from acutance.train.tasks import sequence  # noqa: E402

SMALL = {
    "data": {"modalities": ["CT"]},
    "model": {"modalities": ["CT"], "mapping": {"kind": "fixed", "unit": "HU", "low": -1024.0, "high": 3071.0}},
    "network": {"width": 8, "depth": 1, "state": 4, "expand": 1},
    "task": {"frames": 4, "unroll": 2, "window": 16},
    "training": {
        "start": "", "steps": 6, "batch": 2, "patch": 10, "context": 2, "warmup": 2, "pool": 4, "validate_every": 3,
    },
}  # fmt: skip


def train(data: Path, folder: Path, stop_at: int | None = None) -> checkpoint.Trained:
    recipe = recipes.load("gray-seq-x2", **SMALL)  # type: ignore[arg-type]
    return loop.train(recipe, data, folder, accelerator="cpu", devices=1, stop_at=stop_at, progress=False)


def test_the_shipped_recipe_trains_resumes_and_is_exported(small_data: Path, tmp_path: Path) -> None:
    whole = train(small_data, tmp_path / "whole")
    assert [x.row for x in whole.lines] == [sequence.ROW, sequence.ALONE]
    train(small_data, tmp_path / "killed", stop_at=4)
    resumed = train(small_data, tmp_path / "killed")
    for (name, x), (_, y) in zip(resumed.network.state_dict().items(), whole.network.state_dict().items(), strict=True):
        assert torch.equal(x, y), name
    path = tmp_path / "seq.onnx"
    write(whole.network, whole.metadata(), path)
    check(whole.network, path)
    meta = model.load(path).meta
    assert (meta.network, meta.halo, meta.frames) == ("seq", None, 2)
    assert [i.role for i in meta.inputs] == ["lr", "lr_previous", "previous", "state"]
    again = network_of(model.load(path))
    assert isinstance(again, networks.Seq) and again.state == 4


def batch_of(n: int = 1, frames: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "frames": torch.rand(n, frames, 1, 7, 9),
        "base": torch.rand(n, frames, 4, 7, 9),
        "keep": torch.ones(n, frames, 1, 1, 1),
    }


@pytest.fixture
def network() -> networks.Seq:
    torch.manual_seed(1)
    found = networks.build("seq", width=8, depth=1, state=4)
    assert isinstance(found, networks.Seq)
    torch.nn.init.normal_(found.memory.weight, std=0.2)
    return found


def test_the_past_reaches_a_frame_and_the_future_does_not(network: networks.Seq) -> None:
    batch = batch_of()
    with torch.no_grad():
        found = sequence.unroll(network, batch, 4, 9)
        batch["frames"] = batch["frames"].clone()
        batch["frames"][:, 2] += 0.5
        changed = sequence.unroll(network, batch, 4, 9)
    assert torch.equal(found[:, :2], changed[:, :2])
    assert not torch.allclose(found[:, 3], changed[:, 3])


def test_where_it_is_told_a_sequence_begins_anew(network: networks.Seq) -> None:
    batch = batch_of()
    batch["keep"][:, 2] = 0
    later = {k: x[:, 2:] for k, x in batch.items()}
    with torch.no_grad():
        found, alone = sequence.unroll(network, batch, 4, 9), sequence.unroll(network, later, 4, 9)
    torch.testing.assert_close(found[:, 2:], alone)


@pytest.mark.parametrize(("every", "reaches"), [(9, True), (2, False)])
def test_gradients_reach_no_farther_back_than_asked(network: networks.Seq, every: int, reaches: bool) -> None:
    batch = batch_of()
    batch["frames"].requires_grad_()
    sequence.unroll(network, batch, 4, every)[:, 3].sum().backward()
    grad = batch["frames"].grad
    assert grad is not None and bool(grad[:, 0].abs().max() > 0) == reaches
    assert grad[:, 2].abs().max() > 0


def test_the_result_that_is_remembered_is_the_base_and_the_residual(network: networks.Seq) -> None:
    batch, seen = batch_of(), []
    network.register_forward_pre_hook(lambda _, given: seen.append(given))
    with torch.no_grad():
        found = sequence.unroll(network, batch, 4, 9)
    for i in range(1, 4):
        torch.testing.assert_close(seen[i][1], batch["frames"][:, i - 1])
        torch.testing.assert_close(seen[i][2], batch["base"][:, i - 1] + found[:, i - 1])


def test_validation_clips_are_the_same_every_time_and_scored_without_memory_too(small_data: Path) -> None:
    recipe = recipes.load("gray-seq-x2", **SMALL)  # type: ignore[arg-type]
    found, again = sequence.moving(small_data, recipe), sequence.moving(small_data, recipe)
    assert [x.subject for x in found] == ["c"]
    np.testing.assert_array_equal(found[0].clip.frames, again[0].clip.frames)
    network = networks.build("seq", width=8, depth=1, state=4)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape))
        first, second = tasks.of(recipe).validator(small_data).run(network)
        assert first.full != second.full
        network.get_parameter("memory.weight").zero_()
        first, second = tasks.of(recipe).validator(small_data).run(network)
    assert first.full == second.full
