"""Each task trains its own recipe, made small, from start to model file, and goes on after a kill."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")

import acutance.export as exports  # noqa: E402
from acutance.export import command  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from acutance import model, networks  # noqa: E402
from acutance.errors import UsageError  # noqa: E402
from acutance.networks.weights import weights_of  # noqa: E402
from acutance.train import checkpoint, coverage, describe, loop, tasks, validate  # noqa: E402
from acutance.train import recipe as recipes  # noqa: E402
from acutance.train.tasks import gan  # noqa: E402

NETWORK = {"width": 6, "blocks": 3}
SMALL = {"steps": 4, "batch": 2, "patch": 12, "pool": 2, "validate_every": 4, "validate_slices": 1, "warmup": 0}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ``bal`` that trainings start from; every bias has a value, as in one that was trained."""
    recipe = recipes.load("ct-bal-x2", network={**NETWORK, "expand": 0})
    torch.manual_seed(0)
    made = networks.build(scale=2, **recipe.network.model_dump())
    with torch.no_grad():
        for _, layer in networks.convolutions(made):
            layer.bias.normal_(std=0.02)
    path = tmp_path_factory.mktemp("start") / "start.onnx"
    exports.write(made, describe.metadata(made, recipe, [], [], ""), path)
    return path


def reduced(name: str, start: Path, **task: object) -> recipes.Recipe:
    """Return a shipped recipe that trains a small network for four steps."""
    found = recipes.load(name)
    changes = {"task": {**found.task.model_dump(), **task}, "training": {**SMALL, "start": str(start)}}
    return recipes.load(name, network=NETWORK, **changes)


def train(recipe: recipes.Recipe, data: Path, folder: Path, stop_at: int | None = None) -> checkpoint.Trained:
    return loop.train(recipe, data, folder, accelerator="cpu", devices=1, stop_at=stop_at, progress=False)


def export(*arguments: str) -> str:
    result = CliRunner().invoke(command.app, list(arguments))
    assert result.exit_code == 0, (result.exception, result.output)
    return result.output


@pytest.mark.parametrize("name", ["ct-bal-x2", "ct-bal-x2-q", "ct-gan-x2", "mr-bal-x2-q"])
def test_a_recipe_goes_on_and_becomes_a_model(small_data: Path, start: Path, tmp_path: Path, name: str) -> None:
    recipe = reduced(name, start)
    whole = train(recipe, small_data, tmp_path / "whole")
    train(recipe, small_data, tmp_path / "killed", stop_at=3)
    train(recipe, small_data, tmp_path / "killed")
    kept = [torch.load(tmp_path / x / loop.CHECKPOINT, weights_only=True) for x in ("whole", "killed")]
    for part in ("network", "average", "others"):
        a, b = ({k: v for k, v in flat(x[part]).items() if isinstance(v, torch.Tensor)} for x in kept)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), part
    export(str(tmp_path / "whole" / loop.CHECKPOINT), "-o", str(tmp_path / "made.onnx"), "--data", str(small_data))
    made = model.load(tmp_path / "made.onnx")
    assert made.meta.name == name and made.meta.training.steps == 4
    assert [o.role for o in made.meta.outputs] == [o.role for o in whole.network.outputs]


def flat(found: object, name: str = "") -> dict[str, object]:
    """Return what stands in nested dicts, lists and tuples by its path."""
    if isinstance(found, dict):
        items = [(str(k), v) for k, v in found.items()]
    elif isinstance(found, list | tuple):
        items = [(str(i), v) for i, v in enumerate(found)]
    else:
        return {name: found}
    return {k: v for key, value in items for k, v in flat(value, f"{name}/{key}").items()}


def test_bounds_leave_the_picture_as_it_was(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-bal-x2-q", start)
    trained = train(recipe, small_data, tmp_path / "run")
    x = torch.rand(1, 1, 20, 24)
    before = networks.build("bal", **NETWORK)
    assert before.start_from(weights_of(model.load(start))) == []
    with torch.no_grad():
        residual, low, high = trained.network(x)
        assert torch.equal(residual, before.eval()(x))
        assert (low < high).all()


def test_calibrated_bounds_hold_nine_truths_of_ten(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-bal-x2-q", start)
    trained = train(recipe, small_data, tmp_path / "run")
    task = tasks.of(recipe)
    with pytest.raises(UsageError, match="calibrated on scans"):
        task.finish(trained.network, None)
    with pytest.raises(UsageError, match="has no discriminator"):
        task.finish(trained.network, small_data, perceptual=0.5)
    before = [v.clone() for v in trained.network.state_dict().values()]
    network, said = task.finish(trained.network, small_data)
    after = trained.network.state_dict().values()
    assert said == {} and all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    lines = task.validator(small_data).run(network)
    assert all(isinstance(x, coverage.CoverageLine) for x in lines)
    assert np.mean([x.covered for x in lines]) == pytest.approx(90, abs=1.0)
    raw = np.mean([x.covered for x in task.validator(small_data).run(trained.network)])
    assert abs(raw - 90) > 5


def test_bounds_are_learnt_over_a_trained_network_alone(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-bal-x2-q", start)
    fresh = recipe.model_copy(update={"training": recipe.training.model_copy(update={"start": ""})})
    with pytest.raises(UsageError, match="learns bounds over what is learnt already"):
        tasks.of(fresh).begin()
    with pytest.raises(UsageError, match="must start from a trained network"):
        tasks.of(reduced("ct-gan-x2", start).model_copy(update={"training": fresh.training})).begin()


def test_quantiles_with_weights() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])
    assert [coverage.quantile(values, weights, x) for x in (0.2, 0.5, 0.75, 0.8)] == [1, 2, 2, 3]


def test_the_kernel_of_the_base_gives_the_base(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-gan-x2", start)
    case = validate.cases(small_data, recipe)[0]
    wanted = validate.assemble(None, dataclasses.replace(case, picture=case.picture.astype(np.float32)), recipe, False)
    kernel = gan.base_kernel("cubic", 2)
    small = torch.from_numpy(case.picture.astype(np.float32))[None, None]
    rim = kernel.shape[-1] // 2
    got = torch.nn.functional.pixel_shuffle(torch.nn.functional.conv2d(small, kernel), 2)[0, 0].numpy()
    np.testing.assert_allclose(got, wanted[2 * rim : -2 * rim, 2 * rim : -2 * rim], atol=1e-2)


@pytest.mark.parametrize("adversary", ["hinge", "bce"])
def test_each_of_the_two_moves_in_its_turn_alone(small_data: Path, start: Path, tmp_path: Path, adversary: str) -> None:
    recipe = reduced("ct-gan-x2", start, adversary=adversary)
    task = tasks.of(recipe)
    learners = task.begin()
    task.load(small_data, 0)
    models, batch = {x.name: x.module for x in learners}, task.batch(0, 2)
    generator, judge = (list(x.module.parameters()) for x in learners)
    for p in judge:
        p.requires_grad_(False)
    task.loss("network", models, batch).backward()
    assert any(p.grad.abs().sum() > 0 for p in generator) and all(p.grad is None for p in judge)
    for p in judge:
        p.requires_grad_(True)
    moved = [p.grad.clone() for p in generator]
    loss = task.loss("discriminator", models, batch)
    loss.backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(generator, moved, strict=True))
    assert any(p.grad.abs().sum() > 0 for p in judge)


def test_a_discriminator_learns_to_tell(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-gan-x2", start)
    task = tasks.of(recipe)
    learners = task.begin()
    task.load(small_data, 0)
    models, judge, found = {x.name: x.module for x in learners}, learners[1], []
    for group in judge.optimizer.param_groups:
        group["lr"] = 2e-3
    for step in range(25):
        batch = task.batch(step, 2)
        with torch.no_grad():
            task.loss("network", models, batch)
        loss = task.loss("discriminator", models, batch)
        judge.optimizer.zero_grad()
        loss.backward()
        judge.optimizer.step()
        found.append(loss.item())
    assert np.mean(found[-5:]) < 0.7 * np.mean(found[:3])


def test_the_dial_goes_from_one_network_to_the_other(small_data: Path, start: Path, tmp_path: Path) -> None:
    recipe = reduced("ct-gan-x2", start)
    trained = train(recipe, small_data, tmp_path / "run")
    task = tasks.of(recipe)
    x, before = torch.rand(1, 1, 16, 16), weights_of(model.load(start))
    for amount, weights in ((0.0, before), (1.0, trained.network.state_dict())):
        found, said = task.finish(trained.network, None, amount)
        assert said == {"perceptual": amount}
        assert all(torch.equal(w, weights[k]) for k, w in found.state_dict().items())
    half, _ = task.finish(trained.network, None, 0.5)
    assert not torch.equal(half(x), trained.network(x))
    path, made = str(tmp_path / "run" / loop.CHECKPOINT), tmp_path / "a.onnx"
    export(path, "-o", str(made))
    assert model.load(made).meta.perceptual == 0.3 and model.load(made).meta.generative
    export(path, "-o", str(made), "--perceptual", "0")
    assert not model.load(made).meta.generative
