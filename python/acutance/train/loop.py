"""The training loop, over Lightning Fabric: one CPU, one GPU or several (``torchrun``), and resumable at any step."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError, UsageError
from ..networks import Network
from . import describe, tasks
from .checkpoint import Trained
from .recipe import Recipe, Training
from .tasks import Learner
from .tasks.task import Batch
from .validate import Line, Scorer

LOG = "log.csv"
CURVE = "curve.png"
CHECKPOINT = "last.pt"

SAID = "{task.fields[said]}"
"""Progress column of loss and PSNR."""


def learning_rate(step: int, training: Training) -> float:
    """Return the rate at a step: linear warm-up, then half a cosine down to ``floor``."""
    if step < training.warmup:
        return training.rate * (step + 1) / training.warmup
    part = (step - training.warmup) / max(1, training.steps - training.warmup)
    low = training.rate * training.floor
    return low + (training.rate - low) * 0.5 * (1 + float(np.cos(np.pi * part)))


def averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update of averaged weights for :class:`AveragedModel`.

    The decay grows with the steps ``n`` as ``(1 + n) / (10 + n)`` up to ``decay``: the average never reaches back to
    the start, which would spoil short trainings.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        part = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, part)

    return update


def rows_of(batch: int, rank: int, count: int) -> slice:
    """Return which examples of a batch are one process's among ``count``.

    Raises
    ------
    UsageError
        They cannot be shared evenly.
    """
    share, rest = divmod(batch, count)
    if rest:
        raise UsageError(f"batch {batch} cannot be shared by {count} devices")
    return slice(rank * share, (rank + 1) * share)


class _State:
    """What a checkpoint holds."""

    def __init__(self, fabric: Fabric, recipe: Recipe, data: str | os.PathLike[str], resume: Path) -> None:
        self.fabric, self.recipe = fabric, recipe
        training = recipe.training
        self.rows = rows_of(training.batch, fabric.global_rank, fabric.world_size)
        fabric.seed_everything(training.seed, verbose=False)
        self.task = tasks.of(recipe)
        self.learners = self.task.begin()
        self.network = self.task.network
        self.average = AveragedModel(self.network, multi_avg_fn=averaging(training.ema)) if training.ema else None
        self.models: dict[str, Any] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        for one in self.learners:
            self.models[one.name], self.optimizers[one.name] = fabric.setup(one.module, one.optimizer)
        if self.average is not None:
            self.average.to(fabric.device)
        self.step, self.seconds = 0, 0.0
        self.commit = describe.commit()
        self.device = f"{describe.device(fabric.device, fabric.world_size)}, {training.precision}"
        if resume.is_file():
            self._load(resume)
        self.task.load(data, self.step)

    def _load(self, path: Path) -> None:
        try:
            said = torch.load(path, map_location=self.fabric.device, weights_only=True)
            recipe = Recipe.model_validate_json(said["recipe"])
        except Exception as e:
            raise InputError(f"is no checkpoint ({type(e).__name__})", path) from None
        if recipe != self.recipe:
            raise UsageError(f"{path} was made by another recipe; give another folder, or remove it")
        kept = {"network": (said["network"], said["optimizer"]), **said.get("others", {})}
        for one in self.learners:
            module, optimizer = kept[one.name]
            one.module.load_state_dict(module)
            self.optimizers[one.name].load_state_dict(optimizer)
        if self.average is not None:
            self.average.load_state_dict(said["average"])
        self.step, self.seconds = said["step"], said["seconds"]

    def save(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        kept = {x.name: (x.module.state_dict(), self.optimizers[x.name].state_dict()) for x in self.learners}
        network, optimizer = kept.pop("network")
        said = {
            "recipe": self.recipe.model_dump_json(),
            "network": network,
            "optimizer": optimizer,
            "others": kept,
            "average": None if self.average is None else self.average.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "data": self.task.sources,
            "commit": self.commit,
            "device": self.device,
        }
        beside = path.with_suffix(".part")
        torch.save(said, beside)
        beside.replace(path)

    def final(self) -> Network:
        """Return the network with the weights that are validated and exported."""
        found = self.network if self.average is None else self.average.module
        assert isinstance(found, Network)
        return found

    def advance(self) -> Tensor:
        """Take one step and return the loss of each learner, ``[learners]``."""
        whole = self.task.batch(self.step, self.recipe.training.batch)
        batch = self.fabric.to_device({name: tensor[self.rows] for name, tensor in whole.items()})
        losses = [self._turn(one, batch) for one in self.learners]
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return torch.stack(losses)

    def _turn(self, one: Learner, batch: Batch) -> Tensor:
        optimizer = self.optimizers[one.name]
        for group in optimizer.param_groups:
            group["lr"] = one.rate * learning_rate(self.step, self.recipe.training)
        with contextlib.ExitStack() as stack:
            for other in self.learners:
                if other is not one:
                    stack.enter_context(self._still(other))
            loss = self.task.loss(one.name, self.models, batch)
            optimizer.zero_grad()
            self.fabric.backward(loss)
        self.fabric.clip_gradients(self.models[one.name], optimizer, max_norm=one.clip)
        optimizer.step()
        return loss.detach()

    @contextlib.contextmanager
    def _still(self, one: Learner) -> Iterator[None]:
        """Let a module pass gradients on without taking part in them."""
        learnt = [p for p in one.module.parameters() if p.requires_grad]
        for weight in learnt:
            weight.requires_grad_(False)
        with self.fabric.no_backward_sync(self.models[one.name], enabled=self.fabric.world_size > 1):
            yield
        for weight in learnt:
            weight.requires_grad_(True)


class _Log:
    """``log.csv``: one line per validation, cut back to the checkpoint's step when a training goes on."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as f:
                self.rows = [r for r in csv.DictReader(f) if int(r["step"]) <= step]

    def add(self, step: int, seconds: float, losses: dict[str, float], lines: Sequence[Line]) -> None:
        row: dict[str, Any] = {"step": step, "seconds": round(seconds, 1)}
        row.update({name: f"{loss:.6g}" for name, loss in losses.items()})
        for line in lines:
            for field, value in dataclasses.asdict(line).items():
                if isinstance(value, float):
                    row[f"{line.modality} {line.row} {field}"] = f"{value:.4f}"
        self.rows.append(row)
        beside = self.path.with_suffix(".part")
        with beside.open("w", encoding="utf-8", newline="") as f:
            out = csv.DictWriter(f, list(row))
            out.writeheader()
            out.writerows(self.rows)
        beside.replace(self.path)

    def draw(self, path: Path) -> None:
        """Draw loss and gain over the rival against steps."""
        from matplotlib.figure import Figure

        steps = [int(r["step"]) for r in self.rows]
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.semilogy(steps, [float(r["loss"]) for r in self.rows])
        left.set(xlabel="step", ylabel="loss")
        for key in self.rows[-1]:
            if key.endswith(" gain"):
                right.plot(steps, [float(r[key]) for r in self.rows], label=key.removesuffix(" gain"))
        right.axhline(0, color="black", linewidth=0.5)
        right.set(xlabel="step", ylabel="PSNR over the rival on val, dB")
        right.legend(fontsize="small")
        figure.savefig(path, dpi=100)


def train(
    recipe: Recipe,
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    accelerator: str = "auto",
    devices: int | str = "auto",
    stop_at: int | None = None,
    progress: bool = True,
) -> Trained:
    """Train a recipe, or go on with it where ``folder`` holds a checkpoint.

    Parameters
    ----------
    data : path
        The data set's folder.
    folder : path
        Where checkpoint, log and curve are written.
    accelerator, devices : str, int
        As of Lightning Fabric.
    stop_at : int, optional
        Leave after this step with a checkpoint, as if killed there.
    progress : bool
        Show a bar with loss and validation PSNR.

    Raises
    ------
    UsageError
        The data do not suit the recipe, or the checkpoint is another recipe's.
    InputError
        A file cannot be read.
    """
    out = Path(folder)
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=recipe.training.precision)
    fabric.launch()
    if fabric.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
    fabric.barrier()
    state = _State(fabric, recipe, data, out / CHECKPOINT)
    validator = state.task.validator(data, recipe.training.validate_slices)
    log = _Log(out / LOG, state.step)
    columns = (TextColumn(recipe.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(SAID))
    with Progress(*columns, disable=not (progress and fabric.is_global_zero)) as bar:
        task = bar.add_task("", total=recipe.training.last, completed=state.step, said="")

        def show(step: int, said: str) -> None:
            bar.update(task, completed=step, said=said)

        end = min(stop_at or recipe.training.last, recipe.training.last)
        lines = _steps(state, validator, log, out, end, show)
    network = _on_cpu(state.final())
    return Trained(network, recipe, lines, state.task.sources, state.commit, state.step, state.seconds, state.device)


def _on_cpu(network: Network) -> Network:
    """Return a copy on the CPU, in the plain memory layout."""
    plain: Network = copy.deepcopy(network).cpu().eval()
    for weight in plain.parameters():
        weight.data = weight.data.contiguous()
    return plain


def _steps(
    state: _State, validator: Scorer, log: _Log, out: Path, end: int, show: Callable[[int, str], None]
) -> list[Line]:
    """Run to step ``end``; validate, log and save every so often and at the end."""
    training, lines, losses = state.recipe.training, [], []
    gained, began = "", time.monotonic()
    while state.step < end:
        losses.append(state.advance())
        if state.step % 20 == 0:
            show(state.step, f"loss {torch.stack(losses[-20:])[:, 0].mean():.2e}{gained}")
        if state.step % training.validate_every and state.step < end:
            continue
        now = time.monotonic()
        state.seconds, began = state.seconds + now - began, now
        shared = state.fabric.all_reduce(torch.stack(losses).mean(dim=0), reduce_op="mean")
        means = torch.as_tensor(shared).tolist()
        if state.fabric.is_global_zero and (state.step % training.validate_every == 0 or state.step == training.last):
            lines = validator.run(_on_cpu(state.final()))
            gained = "".join(f"  {x.row} {x.full:.2f} dB ({x.gain:+.2f})" for x in lines)
            names = ["loss", *(f"loss of {one.name}" for one in state.learners[1:])]
            log.add(state.step, state.seconds, dict(zip(names, means, strict=True)), lines)
            log.draw(out / CURVE)
        losses = []
        state.save(out / CHECKPOINT)
        state.fabric.barrier()
        began = time.monotonic()
    return lines
