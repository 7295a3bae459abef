"""The loop learns, is the same each time, and goes on after a kill to the same weights."""

from __future__ import annotations

import csv
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")


from acutance import networks  # noqa: E402
from acutance.errors import InputError, UsageError  # noqa: E402
from acutance.evaluate import rivals, score  # noqa: E402
from acutance.train import checkpoint, loop, validate  # noqa: E402
from acutance.train import recipe as recipes  # noqa: E402
from acutance.train.tasks import picture  # noqa: E402


def train(recipe: recipes.Recipe, data: Path, folder: Path, stop_at: int | None = None) -> checkpoint.Trained:
    return loop.train(recipe, data, folder, accelerator="cpu", devices=1, stop_at=stop_at, progress=False)


def assert_same(a: torch.nn.Module, b: torch.nn.Module) -> None:
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize(
    ("training", "network"),
    [
        ({"precision": "32-true"}, {}),
        ({"precision": "bf16-mixed"}, {}),
        ({"optimizer": "muon"}, {"width": 24, "expand": 0}),  # wide enough for kernels of its own
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(
    small_data: Path, recipe_file: Path, tmp_path: Path, training: dict[str, Any], network: dict[str, Any]
) -> None:
    recipe = recipes.load(recipe_file, training=training, network=network)
    whole = train(recipe, small_data, tmp_path / "whole")
    train(recipe, small_data, tmp_path / "killed", stop_at=7)
    resumed = train(recipe, small_data, tmp_path / "killed")
    assert_same(resumed.network, whole.network)
    with (tmp_path / "killed" / loop.LOG).open() as f:
        assert [row["step"] for row in csv.DictReader(f)] == ["6", "12"]
    assert (tmp_path / "killed" / loop.CURVE).read_bytes()[:4] == b"\x89PNG"
    restored = checkpoint.restore(tmp_path / "whole" / loop.CHECKPOINT)
    assert_same(restored.network, whole.network)
    assert restored.recipe == recipe
    assert [d["source"] for d in restored.data] == ["source of a", "source of b"]


def test_a_recipe_may_stop_before_its_schedule_ends(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    whole = train(recipes.load(recipe_file), small_data, tmp_path / "whole", stop_at=8)
    stopped = train(recipes.load(recipe_file, training={"stop": 8}), small_data, tmp_path / "stopped")
    assert stopped.steps == 8 and stopped.lines
    assert_same(stopped.network, whole.network)


def test_training_beats_the_base(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    recipe = recipes.load(recipe_file, training={"steps": 150, "validate_every": 150, "rate": 5e-3})
    trained = train(recipe, small_data, tmp_path)
    assert [x.row for x in trained.lines] == ["psf 0", "psf 0.4", "psf 0.8", "psf 1.2"]
    assert trained.lines[0].gain > 0.5
    assert trained.lines[0].full > 20


def test_another_recipe_does_not_go_on(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    train(recipes.load(recipe_file), small_data, tmp_path, stop_at=1)
    with pytest.raises(UsageError, match="was made by another recipe"):
        train(recipes.load(recipe_file, training={"steps": 13}), small_data, tmp_path)


def test_what_is_no_checkpoint_is_refused(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    path = tmp_path / loop.CHECKPOINT
    path.write_bytes(b"none")
    with pytest.raises(InputError, match="is no checkpoint"):
        checkpoint.restore(path)
    with pytest.raises(InputError, match="is no checkpoint"):
        train(recipes.load(recipe_file), small_data, tmp_path)


def test_the_rate_warms_up_and_falls_to_its_floor(recipe_file: Path) -> None:
    training = recipes.load(recipe_file, training={"steps": 100, "warmup": 10, "rate": 1.0, "floor": 0.1}).training
    rates = [loop.learning_rate(step, training) for step in range(101)]
    assert rates[:2] == [0.1, 0.2] and max(rates) == rates[10] == 1.0
    assert math.isclose(rates[100], 0.1)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_the_average_follows_closely_at_first() -> None:
    update = loop.averaging(0.9)
    mean, values = torch.zeros(1), torch.ones(1)
    for count, wanted in ((0, 0.9), (1, 1 - 0.1 * 2 / 11)):
        update([mean], [values], count)
        assert mean.item() == pytest.approx(wanted)
    mean.zero_()
    update([mean], [values], torch.tensor(10_000))
    assert mean.item() == pytest.approx(0.1)


def test_with_the_guard_the_loss_does_not_see_the_mean_of_a_block(recipe_file: Path) -> None:
    recipe = recipes.load(recipe_file)
    wanted, zero, one = torch.rand(2, 4, 5, 5), torch.zeros(2, 1, 5, 5), torch.ones(2, 1, 1, 1)
    shifted = wanted + torch.rand(2, 1, 5, 5)
    batch = {"residual": wanted, "drift": zero, "jitter": one}
    assert picture.loss_of(shifted, batch, recipe) < 1e-6
    for free in ({"model": {"guard": "none"}}, {"training": {"project": False}}):
        assert picture.loss_of(shifted, batch, recipes.load(recipe_file, **free)) > 0.1
    batch["drift"] = torch.full_like(zero, 0.25)
    assert picture.loss_of(wanted, batch, recipe).item() == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(("name", "value"), [("l1", 0.5), ("l2", 0.25), ("charbonnier", 0.5)])
def test_losses(recipe_file: Path, name: str, value: float) -> None:
    recipe = recipes.load(recipe_file, training={"loss": name}, model={"guard": "none"})
    zero = torch.zeros(1, 4, 3, 3)
    batch = {"residual": zero, "drift": zero, "jitter": torch.full((1, 1, 1, 1), 2.0)}
    assert picture.loss_of(zero + 1, batch, recipe).item() == pytest.approx(value, rel=1e-4)


def test_validation_applies_the_guard(small_data: Path, recipe_file: Path) -> None:
    recipe = recipes.load(recipe_file)
    case = validate.cases(small_data, recipe)[0]
    torch.manual_seed(0)
    network = networks.build("rt", width=8, depth=1)
    with torch.no_grad():
        network.layers[-1].weight.mul_(50)
    result = validate.enlarge(network.eval(), case, recipe)
    rows, cols = case.picture.shape
    sums = result.astype(np.int64).reshape(rows, 2, cols, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(sums, 4 * case.picture.astype(np.int64))
    assert not np.array_equal(result, validate.enlarge(None, case, recipe))


def test_validation_scores_mr_against_zero_filled_k_space(small_data: Path, recipe_file: Path) -> None:
    changes = {
        "data": {"modalities": ["MR"]},
        "model": {"modalities": ["MR"], "guard": "none", "mapping": {"kind": "percentile"}},
    }
    recipe = recipes.load(recipe_file, **changes)
    found = validate.cases(small_data, recipe)
    assert {c.subject for c in found} == {"n"} and {c.truth.shape for c in found} == {(64, 64)}
    silent = networks.build("rt", width=8, depth=1).eval()
    with torch.no_grad():
        silent.layers[-1].weight.zero_()
    (line,) = validate.Validator(found, recipe).run(silent)
    gains = []
    for c in found:
        peak, truth = c.value_range[1] - c.value_range[0], score.inner(c.truth, 2)
        scores = [score.psnr(truth, score.inner(x(c.picture, 2), 2), peak) for x in (rivals.cubic, rivals.zero_filled)]
        gains.append(scores[0] - scores[1])
    assert line.gain == pytest.approx(np.mean(gains), abs=1e-4) and abs(line.gain) > 0.1


def test_two_processes_train_what_one_trains_on_the_whole_batch(
    small_data: Path, recipe_file: Path, tmp_path: Path
) -> None:
    # as docs/training.md says; --standalone takes a free port of this machine
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [sys.executable, "-c", "from acutance.cli import main; main()", "train"]
    arguments = [*command, str(recipe_file), "--data", str(small_data), "-o", str(tmp_path / "both"), "--steps", "8"]
    settings = ["--accelerator", "cpu", "--devices", "2", "--threads", "1"]
    said = subprocess.run([*launcher, *arguments, *settings], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    both = checkpoint.restore(tmp_path / "both" / loop.CHECKPOINT)
    assert both.steps == 8 and both.device.startswith("2 x ")
    alone = train(recipes.load(recipe_file, training={"steps": 8}), small_data, tmp_path / "alone")
    fresh = networks.build("rt", width=8, depth=1, expand=1)
    for (name, x), (_, y) in zip(both.network.state_dict().items(), alone.network.state_dict().items(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6, msg=name)
        assert not torch.allclose(x, fresh.state_dict()[name], atol=1e-3), name
    logs = [list(csv.DictReader((tmp_path / n / loop.LOG).open())) for n in ("both", "alone")]
    assert [float(r["loss"]) for r in logs[0]] == pytest.approx([float(r["loss"]) for r in logs[1]], rel=1e-4)


def test_a_batch_is_shared_evenly_or_not_at_all() -> None:
    with pytest.raises(UsageError, match="batch 3 cannot be shared by 2 devices"):
        loop.rows_of(3, rank=0, count=2)
    assert [loop.rows_of(6, rank, 3) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]
