"""The same model in another precision: what is tried, what is chosen, what is written."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import TensorsData

from .. import model as models
from ..errors import ModelError, UsageError
from ..evaluate import score
from ..model import Metadata, Model, Precision, Scores
from ..networks.weights import network_of
from ..ops import gather
from ..tiling import plan
from ..train import validate
from . import losses, onnx_file
from .finetune import STEPS, finetune
from .half import half
from .quantise import F32, METHODS, Int8, Method, Scheme, calibrate, convolutions, correct, quantise

CALIBRATION = 16
"""Slices of the `train` split that activations are calibrated on."""

TRIAL = 16
"""Pictures of `val` on which candidates are compared, from two slices of each scan."""

FINAL = 12
"""Slices of a scan of `val` on which what is written is scored, as in training."""

TUNING = 64
"""Slices of `train` that weights are fine-tuned on."""

SMALL = 80_000
"""Weights of a network up to which it is tried on all of these pictures."""

PLENTY = 0.7
"""Part of the budget above which more is done than to calibrate: what is lost on a few slices is not known better."""

KEEP = 0.02
"""Loss in dB above which the first or last convolution stays in half, quantised alone: a fifth of the budget."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """How an int8 file is made: ranges by ``method``, quantised by ``scheme``, fine-tuned or not."""

    method: Method
    scheme: Scheme
    tuned: bool = False


class Workshop:
    """Makes the variants of one fp32 model; what they share is computed once.

    Parameters
    ----------
    source : Model
        In fp32.
    data : path, optional
        Folder of the scans; int8 and scores need it.

    Raises
    ------
    ModelError
        The source is not fp32.
    """

    def __init__(self, source: Model, data: str | os.PathLike[str] | None = None) -> None:
        if source.meta.precision != "fp32":
            raise ModelError(f"is {source.meta.precision}; wanted fp32, of which the others are made", source.path)
        self.source = source
        self.graph = onnx.load_model_from_string(source.data)
        del self.graph.metadata_props[:]
        self._data = data
        self._ranges: dict[str, TensorsData] = {}
        self._tried: dict[tuple[object, ...], float] = {}
        self._tuning: tuple[Choice, tuple[onnx.ModelProto, TensorsData]] | None = None
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    @property
    def data(self) -> str | os.PathLike[str]:
        """Folder of the scans.

        Raises
        ------
        UsageError
            None was given.
        """
        if self._data is None:
            raise UsageError("int8 is calibrated on scans; name their folder by --data or ACUTANCE_DATA")
        return self._data

    @functools.cached_property
    def cases(self) -> list[validate.Case]:
        """Some slices of every scan of `train`, in every degradation of the protocol, in random order."""
        meta = self.source.meta
        kinds = losses.modalities(meta)
        found = validate.degraded(self.data, kinds, meta.scale, meta.mapping, "train", 2, meta.denoises)
        return [found[i] for i in np.random.default_rng(0).permutation(len(found))]

    @functools.cached_property
    def pictures(self) -> list[F32]:
        """What the network sees of those that activations are calibrated on."""
        return [_seen(case, self.source.meta.scale) for case in self.cases[: self._fewer(CALIBRATION)]]

    @functools.cached_property
    def trial(self) -> losses.Judge:
        return losses.Judge(self.source, self.data, per_scan=2, limit=self._fewer(TRIAL))

    def _fewer(self, pictures: int) -> int:
        """Return how many pictures a large network is tried on: it takes longer, but a third of them at least."""
        size = sum(int(np.prod(weight.dims)) for weight in self.graph.graph.initializer)
        return max(pictures // 3, min(pictures, pictures * SMALL // size))

    @functools.cached_property
    def final(self) -> losses.Judge:
        return losses.Judge(self.source, self.data, per_scan=FINAL)

    def ranges(self, method: Method) -> TensorsData:
        """Return the ranges of all activations by one method."""
        if method.name not in self._ranges:
            self._ranges[method.name] = calibrate(self.graph, self.pictures, method)
        return self._ranges[method.name]

    def loss(self, choice: Choice) -> float:
        """Return what a candidate loses in its worst row, in dB."""
        key = (choice.method.name, choice.scheme, choice.tuned)
        if key not in self._tried:
            path = Path(self._folder.name) / "candidate.onnx"
            self._write(choice.scheme.precision, choice, path)
            self._tried[key] = losses.worst(self.trial.losses(models.load(path)))
        return self._tried[key]

    def alone(self, method: Method, name: str) -> float:
        """Return what is lost when one convolution alone is quantised for TensorRT, in dB."""
        kept = tuple(other for other in convolutions(self.graph) if other != name)
        return self.loss(Choice(method, Scheme("int8-trt", kept)))

    def choose(self, precision: Int8) -> Choice:
        """Choose calibration and what stays in half by what is lost on `val`.

        The method is chosen with first and last convolution kept. Each of them is quantised too where alone it loses
        at most :data:`KEEP`. For ``int8-cpu`` the last one always is: ONNX Runtime takes an integer kernel for the
        convolution before it only where what that one gives is quantised. Where too much is lost, ``int8-trt`` is
        centred, and ``int8-cpu`` is fine-tuned, as is what is centred and still outside the budget.

        Raises
        ------
        ModelError
            The network wants or gives more than a picture, or sees all of it.
        """
        meta = self.source.meta
        if meta.halo is None or [*(i.role for i in meta.inputs), *(o.role for o in meta.outputs)] != ["lr", "residual"]:
            raise ModelError(
                "8 bits are for networks that turn a tile into a residual and nothing else", self.source.path
            )
        first, *_, last = convolutions(self.graph)
        ends = (first, last) if precision == "int8-trt" else (first,)
        choice = self._best(Scheme(precision, ends))
        kept = tuple(end for end in ends if self.alone(choice.method, end) > KEEP)
        choice = dataclasses.replace(choice, scheme=Scheme(precision, kept))
        budget = losses.BUDGETS[precision]
        if self.loss(choice) <= PLENTY * budget:
            return choice
        if precision == "int8-trt":
            choice = self._best(Scheme(precision, kept, centred=True))
            if self.loss(choice) <= budget:
                return choice
        return dataclasses.replace(choice, tuned=True)

    def _best(self, scheme: Scheme) -> Choice:
        return min((Choice(method, scheme) for method in METHODS), key=self.loss)

    def _tuned(self, choice: Choice) -> tuple[onnx.ModelProto, TensorsData]:
        """Return the graph fine-tuned for a choice, and its ranges; each picture weighs by how well fp32 does on it."""
        if self._tuning is None or self._tuning[0] != choice:
            meta, cases = self.source.meta, self.cases[:TUNING]
            worth = [1 / error for error in losses.square_errors(self.source, cases)]
            made = finetune(
                network_of(self.source),
                self.graph,
                choice.scheme,
                self.ranges(choice.method),
                [_seen(case, meta.scale) for case in cases],
                [w / max(worth) for w in worth],
                STEPS,
            )
            self._tuning = (choice, made)
        return self._tuning[1]

    def write(self, precision: Precision, path: str | os.PathLike[str]) -> Model:
        """Write a variant, scored on `val` where there is a data set, and return it as read back.

        Raises
        ------
        ModelError
            It is outside the budgets of :mod:`losses`; nothing is written.
        UsageError
            There is no data set to calibrate on.
        OutputError
            The file cannot be written.
        """
        meta = self.source.meta
        if precision.startswith("int8") and (len(meta.inputs) > 1 or meta.halo is None):
            raise ModelError("has several inputs or no halo; int8 is made of networks of one picture", self.source.path)
        choice = self.choose(precision) if precision == "int8-trt" or precision == "int8-cpu" else None
        try:
            made, meta = self._checked(precision, choice)
        except ModelError:
            if choice is None or choice.tuned:
                raise
            made, meta = self._checked(precision, dataclasses.replace(choice, tuned=True))
        onnx_file.save(onnx.load_model_from_string(made.data), meta, path)
        return models.load(path)

    def _checked(self, precision: Precision, choice: Choice | None) -> tuple[Model, Metadata]:
        """Return a variant as a file of its own and what it will say of itself, scored where there is a data set."""
        trial = Path(self._folder.name) / f"{precision}.onnx"
        self._write(precision, choice, trial)
        made = models.load(trial)
        meta = made.meta
        if self._data is not None and precision != "fp32":
            lines = self.final.losses(made)
            losses.check(made, lines)
            rows = tuple(dataclasses.asdict(line) for line in lines)
            meta = meta.model_copy(update={"scores": Scores(protocol=score.PROTOCOL, split="val", rows=rows)})
        return made, meta

    def _write(self, precision: Precision, choice: Choice | None, path: Path) -> None:
        if choice is not None:
            graph, ranges = self._tuned(choice) if choice.tuned else (self.graph, self.ranges(choice.method))
            graph = quantise(graph, choice.scheme, ranges)
            correct(self.graph, graph, self.pictures)
        else:
            graph = half(self.graph) if precision == "fp16" else self.graph
        onnx_file.bare(graph)
        onnx_file.save(graph, self._meta(precision, choice), path)

    def _meta(self, precision: Precision, choice: Choice | None) -> Metadata:
        said = ""
        if choice is not None:
            where = {name: f"convolution {i}" for i, name in enumerate(convolutions(self.graph))}
            kept = ", ".join(where[name] for name in choice.scheme.kept) or "none"
            tuned = "centred; " if choice.scheme.centred else ""
            tuned += "fine-tuned; " if choice.tuned else ""
            said = f"activations by {choice.method.name} of {len(self.pictures)} slices of train; {tuned}"
            said += f"not in 8 bits: {kept}"
        scores = self.source.meta.scores if precision == "fp32" else Scores(protocol=score.PROTOCOL, split="val")
        return self.source.meta.model_copy(update={"precision": precision, "quantisation": said, "scores": scores})


def _seen(case: validate.Case, scale: int) -> F32:
    low, high = case.span
    rows, cols = case.picture.shape
    whole = plan(rows, cols, (rows, cols), 0, scale)
    return gather(case.picture, whole, gain=1 / (high - low), bias=-low / (high - low))
