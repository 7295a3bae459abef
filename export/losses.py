"""What a model in another precision loses against its fp32 file, by the protocol."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..enhancer import Enhancer
from ..errors import ModelError
from ..evaluate import metrics, score
from ..evaluate.methods import CODES
from ..geometry import Array, Frame
from ..model import Metadata, Model
from ..train import validate

BUDGETS = {"fp16": 0.01, "int8-trt": 0.10, "int8-cpu": 0.10}
"""Most that a precision may lose of the foreground's PSNR, in dB, in any row and any subject."""

BIAS = 0.5
"""Most that a subject's foreground may move in its mean either way, in HU or 1/4095 of the data range."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of the table, mean over subjects.

    Attributes
    ----------
    modality, row : str
    foreground : float
        PSNR in dB.
    loss : float
        What fp32 has over it, in dB.
    bias : float
        How far the foreground's mean lies above that of fp32, in 1/4095 of the data range: HU for CT.
    block_error : float
        Largest difference between a block's mean and its input pixel, in stored values, where the guard is on and
        pictures are integers; else 0.
    worst_loss, worst_bias : float
        Loss of the subject that loses most, and bias of the one that is moved most; None in files that were made
        before this was looked at.
    """

    modality: str
    row: str
    foreground: float
    loss: float
    bias: float
    block_error: float
    worst_loss: float | None = None
    worst_bias: float | None = None


def modalities(meta: Metadata) -> list[str]:
    """Return the modalities of the protocol that a model was made for."""
    return [name for name, codes in CODES.items() if set(codes) & set(meta.modalities)]


class Judge:
    """Compares models with one fp32 model on the same pictures; that one is run once.

    Parameters
    ----------
    reference : Model
    data : path
        Folder of the scans.
    split : str
    per_scan : int
        At most so many slices of a scan; 0 for all.
    limit : int
        At most so many pictures, evenly spread; 0 for all.
    """

    def __init__(
        self, reference: Model, data: str | os.PathLike[str], split: str = "val", per_scan: int = 0, limit: int = 0
    ) -> None:
        meta = reference.meta
        self.cases = validate.degraded(data, modalities(meta), meta.scale, meta.mapping, split, per_scan, meta.denoises)
        if 0 < limit < len(self.cases):
            self.cases = [self.cases[i] for i in np.linspace(0, len(self.cases) - 1, limit).astype(int)]
        if not self.cases:
            raise ModelError(f"has no {split} pictures in {os.fspath(data)} to be scored on", reference.path)
        self.reference = [_enlarged(reference, case) for case in self.cases]

    def losses(self, model: Model) -> list[Loss]:
        """Return one line for each modality and row."""
        found: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
        guarded = model.meta.guard == "box"
        for case, reference in zip(self.cases, self.reference, strict=True):
            result = _enlarged(model, case)
            exact = guarded and case.picture.dtype.kind != "f"
            blocks = metrics.block_error(result, case.picture, model.meta.scale) if exact else 0.0
            found[case.modality, case.row][case.subject].append((*_compared(case, reference, result), blocks))
        lines = []
        for (modality, row), subjects in found.items():
            means = np.array([np.mean(values, axis=0) for values in subjects.values()])
            before, after, bias, _ = means.mean(axis=0)
            blocks = max(v[3] for values in subjects.values() for v in values)
            worst_loss, worst_bias = (means[:, 0] - means[:, 1]).max(), max(means[:, 2], key=abs)
            numbers = (after, before - after, bias, blocks, worst_loss, worst_bias)
            lines.append(Loss(modality, row, *(round(float(x), 4) for x in numbers)))
        return lines


def square_errors(model: Model, cases: Sequence[validate.Case]) -> list[float]:
    """Return the mean square error of each picture's foreground, as a part of its data range."""
    found = []
    for case in cases:
        got = _enlarged(model, case).astype(np.float64) - case.truth
        peak = case.value_range[1] - case.value_range[0]
        found.append(float(np.mean(got[case.mask] ** 2)) / peak**2)
    return found


def _enlarged(model: Model, case: validate.Case) -> Array:
    code = next(c for c in CODES[case.modality] if c in model.meta.modalities)
    with Enhancer(model, "onnxruntime", threads=1) as enhancer:
        result = enhancer.run(Frame(case.picture, modality=code, value_range=case.span))
    if result.fell_back is not None:
        raise ModelError(f"gave the base alone: {result.fell_back}", model.path)
    return result.pixels


def _compared(case: validate.Case, reference: Array, result: Array) -> tuple[float, float, float]:
    """Return PSNR of the foreground of reference and result, and how far the result's mean lies above it."""
    scale = round(case.truth.shape[0] / case.picture.shape[0])
    peak = case.value_range[1] - case.value_range[0]
    truth, before, after, mask = (score.inner(x, scale) for x in (case.truth, reference, result, case.mask))
    moved = float(np.mean(after[mask].astype(np.float64) - before[mask])) * score.CT_WIDTH / peak
    return score.psnr(truth, before, peak, mask), score.psnr(truth, after, peak, mask), moved


def worst(lines: Sequence[Loss]) -> float:
    """Return the largest loss of the rows in dB."""
    return max(line.loss for line in lines)


def check(model: Model, lines: Sequence[Loss]) -> None:
    """Hold a model in another precision against the budgets.

    Raises
    ------
    ModelError
        It loses too much, moves the mean, or the guard does not hold.
    """
    budget = BUDGETS[model.meta.precision]
    for line in lines:
        what = f"{model.meta.precision} of {model.meta.name}, {line.modality} {line.row},"
        for whose, loss, bias in (
            ("", line.loss, line.bias),
            (" in a subject", line.worst_loss or 0.0, line.worst_bias or 0.0),
        ):
            if loss > budget:
                raise ModelError(f"{what} loses {loss:.3f} dB{whose}; wanted at most {budget:.2f}")
            if abs(bias) > BIAS:
                raise ModelError(f"{what} moves the mean by {bias:.2f}{whose}; wanted at most {BIAS}")
        if line.block_error:
            raise ModelError(f"{what} breaks the guard by {line.block_error:g}; wanted 0")
