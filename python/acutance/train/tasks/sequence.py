"""``sequence``: frames in time to their residuals, by a network that remembers, on moving stills."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ...evaluate import scans, score
from ...networks import Network, Seq
from .. import describe, sequences
from ..examples import Truth, Truths, unshuffled
from ..recipe import Recipe
from ..sequences import F32, Clip
from ..validate import Line
from .picture import loss_of
from .task import Batch, Task

VALIDATION_SEED = 0
"""Of the motion that stills of val are moved by."""

ROW, ALONE = "moving still", "moving still, frame by frame"
"""Rows of the validation: with what is remembered, and with all of it set to zero before each frame."""


def unroll(network: nn.Module, batch: Batch, channels: int, every: int) -> Tensor:
    """Return the residuals ``[N, frames, s*s, h, w]`` of the batch's frames, one after the other.

    Parameters
    ----------
    network : Module
        A :class:`acutance.networks.Seq`, or what wraps it.
    batch : mapping of str to Tensor
        As :meth:`acutance.train.sequences.Clips.batch`.
    channels : int
        Of the hidden state.
    every : int
        Frames after which gradients do not reach farther back.
    """
    frames, base = batch["frames"], batch["base"]
    n, count, _, rows, cols = frames.shape
    residuals: list[Tensor] = []
    before, result = torch.zeros_like(frames[:, 0]), torch.zeros_like(base[:, 0])
    state = frames.new_zeros(n, channels, rows, cols)
    for i in range(count):
        if i % every == 0:
            result, state = result.detach(), state.detach()
        keep = batch["keep"][:, i]
        residual, state = network(frames[:, i], keep * before, keep * result, keep * state)
        residuals.append(residual)
        before, result = frames[:, i], base[:, i] + residual.float()
    return torch.stack(residuals, dim=1)


class Sequence(Task):
    """Patches of clips; the batch holds what :meth:`acutance.train.sequences.Clips.batch` gives."""

    @property
    def halo(self) -> int:
        """Rim of input pixels around a patch, which is not scored."""
        return self.recipe.training.context or 0

    @property
    def channels(self) -> int:
        """Channels of the network's state."""
        assert isinstance(self.network, Seq)
        return self.network.state

    def load(self, data: str | os.PathLike[str], step: int) -> None:
        """As :meth:`Task.load`."""
        truths = Truths(data, self.recipe)
        self.sources = describe.sources(truths.scans)
        self.clips = sequences.Clips(truths, self.recipe, self.halo, step)

    def batch(self, step: int, count: int) -> Batch:
        """As :meth:`Task.batch`."""
        return {k: torch.from_numpy(x) for k, x in self.clips.batch(step, count).items()}

    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """As :meth:`Task.loss`: over all frames, the patch's rim left out."""
        found = unroll(models[learner], batch, self.channels, sequences.task_of(self.recipe).unroll)
        inner = slice(self.halo, found.shape[-1] - self.halo)
        frames, base, truth = (batch[k][..., inner, inner].flatten(0, 1) for k in ("frames", "base", "truth"))
        wanted = {
            "residual": truth - base,
            "drift": frames - truth.mean(dim=1, keepdim=True),
            "jitter": batch["jitter"].repeat_interleave(found.shape[1], dim=0),
        }
        return loss_of(found[..., inner, inner].flatten(0, 1), wanted, self.recipe)

    def validator(self, data: str | os.PathLike[str], per_scan: int = 0) -> ClipValidator:
        """As :meth:`Task.validator`."""
        return ClipValidator(moving(data, self.recipe), self.recipe)


@dataclasses.dataclass(frozen=True, eq=False)
class Moving:
    """A still of val as a clip.

    Attributes
    ----------
    modality, subject : str
    clip : Clip
    peak : float
        Of PSNR, in mapped units.
    """

    modality: str
    subject: str
    clip: Clip
    peak: float


def moving(data: str | os.PathLike[str], recipe: Recipe) -> list[Moving]:
    """Return one clip of each still of val, moved and degraded as in training, without cuts; the same every time."""
    whole = recipe.task.model_copy(update={"cut": 0.0})
    plain = recipe.degradation.model_copy(update={"jitter": (1.0, 1.0)})
    quiet = recipe.model_copy(update={"task": whole, "degradation": plain})
    found: list[Moving] = []
    for modality in recipe.data.modalities:
        for scan in scans.find(data, "val", modality):
            series = scans.load(scan)
            if series is None:
                continue
            low, high = series.span(recipe.model.mapping)
            for _, pixels in series.truths(recipe.model.scale)[:1]:
                still = Truth(pixels, modality, series.value_range, (low, high))
                rng = np.random.default_rng([VALIDATION_SEED, len(found)])
                clip = sequences.make(lambda still=still: still, quiet, sequences.task_of(recipe).window, rng)  # type: ignore[misc]
                peak = (series.value_range[1] - series.value_range[0]) / (high - low)
                found.append(Moving(modality, scan.subject, clip, peak))
    return found


class ClipValidator:
    """Scores a network on the same clips, all frames but the first; the rival is the base."""

    def __init__(self, found: list[Moving], recipe: Recipe) -> None:
        self.found, self.recipe = found, recipe
        self.rival = [self._psnr(one, one.clip.base) for one in found]

    def _psnr(self, one: Moving, result: F32) -> list[float]:
        scale = self.recipe.model.scale
        pairs = list(zip(one.clip.truth, result, strict=True))[1:]
        return [score.psnr(score.inner(t, scale), score.inner(r, scale), one.peak) for t, r in pairs]

    def run(self, network: Network) -> list[Line]:
        """Return two lines for each modality: with what the network remembers, and without."""
        lines = []
        for modality in self.recipe.data.modalities:
            chosen = [i for i, one in enumerate(self.found) if one.modality == modality]
            for row, remembers in ((ROW, True), (ALONE, False)):
                if not chosen:
                    continue
                ours = [self._psnr(self.found[i], enlarge(network, self.found[i].clip, remembers)) for i in chosen]
                gains = np.array([np.subtract(a, self.rival[i]) for a, i in zip(ours, chosen, strict=True)])
                full, gain = float(np.mean(ours)), float(gains.mean())
                worst = float(gains.mean(axis=1).min())
                lines.append(Line(modality, row, full, full, gain, gain, worst, float(gains.min())))
        return lines


def enlarge(network: Network, clip: Clip, remembers: bool) -> F32:
    """Return the results ``[frames, rows * s, cols * s]`` in mapped units."""
    assert isinstance(network, Seq)
    s, keep = network.scale, np.full(len(clip.frames), float(remembers), dtype=np.float32)
    batch = {
        "frames": torch.from_numpy(clip.frames)[None, :, None],
        "base": torch.from_numpy(unshuffled(clip.base, s))[None],
        "keep": torch.from_numpy(keep)[None, :, None, None, None],
    }
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        residual = unroll(network, batch, network.state, len(clip.frames))[0]
        result: F32 = clip.base + nn.functional.pixel_shuffle(residual, s)[:, 0].numpy()
    network.train(was_training)
    return result
