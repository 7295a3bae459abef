"""The training loop, over Lightning Fabric: one CPU, one GPU or several (``torchrun``), and resumable at any step."""

from __future__ import annotations

import copy
import csv
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .. import model, networks
from ..errors import InputError, UsageError
from ..networks import Network
from ..networks.weights import weights_of
from . import describe
from .checkpoint import Trained
from .examples import Batch, Pool, Truths
from .recipe import Recipe, Training
from .validate import Line, Validator, cases

LOG = "log.csv"
CURVE = "curve.png"
CHECKPOINT = "last.pt"

SAID = "{task.fields[said]}"
"""Progress column of loss and PSNR."""

CHARBONNIER = 1e-3
"""Where Charbonnier's loss turns from square to absolute, in mapped units."""


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


def loss_of(residual: Tensor, batch: Sequence[Tensor], recipe: Recipe) -> Tensor:
    """Return the loss of a network's residual ``[N, s*s, h, w]`` against ``(picture, residual, drift, jitter)``.

    With the guard the result is first put where each block averages to its input pixel, without the bounds, which no
    mapped value reaches but padding: the error loses its mean over the block and keeps the input's own.
    """
    _, wanted, drift, jitter = batch
    error = residual.float() - wanted
    if recipe.model.guard == "box" and recipe.training.project:
        error = error - error.mean(dim=1, keepdim=True) + drift
    error = error / jitter
    if recipe.training.loss == "l2":
        return error.square().mean()
    if recipe.training.loss == "charbonnier":
        return (error.square() + CHARBONNIER**2).sqrt().mean()
    return error.abs().mean()


class _State:
    """What a checkpoint holds."""

    def __init__(self, fabric: Fabric, recipe: Recipe, truths: Truths, resume: Path | None) -> None:
        self.fabric, self.recipe = fabric, recipe
        training = recipe.training
        fabric.seed_everything(training.seed, verbose=False)
        plain = networks.build(scale=recipe.model.scale, **recipe.network.model_dump())
        if training.start:
            _start(plain, training.start)
        for weight in plain.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.network = plain
        self.halo = plain.radius if training.context is None else min(training.context, plain.radius)
        adam = torch.optim.Adam(plain.parameters(), lr=training.rate)
        self.average = AveragedModel(plain, multi_avg_fn=averaging(training.ema)) if training.ema else None
        self.wrapped, self.adam = fabric.setup(plain, adam)
        if self.average is not None:
            self.average.to(fabric.device)
        self.step, self.seconds = 0, 0.0
        self.data, self.commit = describe.sources(truths.scans), describe.commit()
        self.device = f"{describe.device(fabric.device, fabric.world_size)}, {training.precision}"
        if resume is not None and resume.is_file():
            self._load(resume)
        share, rest = divmod(training.batch, fabric.world_size)
        if rest:
            raise UsageError(f"batch {training.batch} cannot be shared by {fabric.world_size} devices")
        self.share = share
        self.pool = Pool(truths, recipe, self.halo, self.step, fabric.global_rank)

    def _load(self, path: Path) -> None:
        try:
            said = torch.load(path, map_location=self.fabric.device, weights_only=True)
        except Exception as e:
            raise InputError(f"is no checkpoint ({type(e).__name__})", path) from None
        if said["recipe"] != self.recipe.model_dump_json():
            raise UsageError(f"{path} was made by another recipe; give another folder, or remove it")
        self.network.load_state_dict(said["network"])
        self.adam.load_state_dict(said["adam"])
        if self.average is not None:
            self.average.load_state_dict(said["average"])
        self.step, self.seconds = said["step"], said["seconds"]

    def save(self, path: Path) -> None:
        if not self.fabric.is_global_zero:
            return
        said = {
            "recipe": self.recipe.model_dump_json(),
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "data": self.data,
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
        """Take one step and return its loss."""
        training = self.recipe.training
        batch = self._tensors(self.pool.batch(self.step, self.share))
        for group in self.adam.param_groups:
            group["lr"] = learning_rate(self.step, training)
        residual = self._residual(batch[0])
        loss = loss_of(residual, batch, self.recipe)
        self.adam.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.wrapped, self.adam, max_norm=training.clip)
        self.adam.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def _residual(self, picture: Tensor) -> Tensor:
        """Return the residual of the patches without their rim."""
        if self.recipe.training.context is None:
            whole: Tensor = self.wrapped(picture, padding=0)
            return whole
        padded, rim = self.wrapped(picture, padding=1), self.halo
        inner: Tensor = padded[:, :, rim : padded.shape[2] - rim, rim : padded.shape[3] - rim]
        return inner

    def _tensors(self, batch: Batch) -> list[Tensor]:
        picture = torch.from_numpy(batch.picture).contiguous(memory_format=torch.channels_last)
        rest = (torch.from_numpy(x) for x in (batch.residual, batch.drift, batch.jitter))
        moved: list[Tensor] = self.fabric.to_device([picture, *rest])
        return moved


def _start(network: Network, source: str) -> None:
    """Give a fresh network the weights of a model, where they fit."""
    found = model.load(source)
    if len(network.start_from(weights_of(found))) == len(networks.convolutions(network)):
        raise UsageError(f"{source} has no weights that fit; it is a network `{found.meta.network}`")


class _Log:
    """``log.csv``: one line per validation, cut back to the checkpoint's step when a training goes on."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as f:
                self.rows = [r for r in csv.DictReader(f) if int(r["step"]) <= step]

    def add(self, step: int, seconds: float, loss: float, lines: Sequence[Line]) -> None:
        row: dict[str, Any] = {"step": step, "seconds": round(seconds, 1), "loss": f"{loss:.6g}"}
        for line in lines:
            for field in ("full", "foreground", "gain", "gain_foreground", "worst_subject", "worst_slice"):
                row[f"{line.modality} {line.row} {field}"] = f"{getattr(line, field):.4f}"
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
    state = _State(fabric, recipe, Truths(data, recipe), out / CHECKPOINT)
    validator = Validator(cases(data, recipe, "val", recipe.training.validate_slices), recipe)
    log = _Log(out / LOG, state.step)
    columns = (TextColumn(recipe.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(SAID))
    with Progress(*columns, disable=not (progress and fabric.is_global_zero)) as bar:
        task = bar.add_task("", total=recipe.training.last, completed=state.step, said="")

        def show(step: int, said: str) -> None:
            bar.update(task, completed=step, said=said)

        end = min(stop_at or recipe.training.last, recipe.training.last)
        lines = _steps(state, validator, log, out, end, show)
    return Trained(
        _on_cpu(state.final()), recipe, lines, state.data, state.commit, state.step, state.seconds, state.device
    )


def _on_cpu(network: Network) -> Network:
    """Return a copy on the CPU, in the plain memory layout."""
    plain: Network = copy.deepcopy(network).cpu().eval()
    for weight in plain.parameters():
        weight.data = weight.data.contiguous()
    return plain


def _steps(
    state: _State, validator: Validator, log: _Log, out: Path, end: int, show: Callable[[int, str], None]
) -> list[Line]:
    """Run to step ``end``; validate, log and save every so often and at the end."""
    training, lines, losses = state.recipe.training, [], []
    gained, began = "", time.monotonic()
    while state.step < end:
        losses.append(state.advance())
        if state.step % 20 == 0:
            show(state.step, f"loss {torch.stack(losses[-20:]).mean():.2e}{gained}")
        if state.step % training.validate_every and state.step < end:
            continue
        now = time.monotonic()
        state.seconds, began = state.seconds + now - began, now
        if state.fabric.is_global_zero and (state.step % training.validate_every == 0 or state.step == training.last):
            lines = validator.run(_on_cpu(state.final()))
            gained = "".join(f"  {x.row} {x.full:.2f} dB ({x.gain:+.2f})" for x in lines)
            log.add(state.step, state.seconds, float(torch.stack(losses).mean()), lines)
            log.draw(out / CURVE)
        losses = []
        state.save(out / CHECKPOINT)
        state.fabric.barrier()
        began = time.monotonic()
    return lines
