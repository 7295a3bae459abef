"""A graph with 8-bit convolutions: Q/DQ nodes by ONNX Runtime's quantiser, ranges by its calibrators."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator

from .half import half

F32 = NDArray[np.float32]
Int8 = Literal["int8-trt", "int8-cpu"]


@dataclasses.dataclass(frozen=True)
class Method:
    """How the range of an activation is found from samples of it."""

    name: str
    kind: CalibrationMethod
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


METHODS = (
    Method("largest value", CalibrationMethod.MinMax),
    Method("entropy", CalibrationMethod.Entropy),
    Method("percentile 99.9999", CalibrationMethod.Percentile, {"percentile": 99.9999}),
    Method("percentile 99.9995", CalibrationMethod.Percentile, {"percentile": 99.9995}),
)
"""What is tried. Lower percentiles cut edges, which are few and are what counts: 99.999 loses five times as much as
99.9999 in `ct-rt-x2`."""


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How a graph is quantised, its ranges aside.

    Attributes
    ----------
    precision : str
    kept : tuple of str
        Convolutions that stay in floating point.
    centred : bool
        For ``int8-trt``: activations use all levels, see :func:`centre`.
    """

    precision: Int8
    kept: tuple[str, ...] = ()
    centred: bool = False


DARK = 0.1
"""Mapped value up to which a pixel is taken for air."""

IR_VERSION = 10
"""Newest form of ONNX files that ONNX Runtime 1.18 reads."""


class _One(CalibrationDataReader):  # type: ignore[misc]
    """Gives one picture: the histograms are merged after each, so that memory holds the activations of one."""

    def __init__(self, name: str, picture: F32) -> None:
        self._left = [{name: picture}]

    def get_next(self) -> dict[str, F32] | None:
        return self._left.pop() if self._left else None


def calibrate(graph: onnx.ModelProto, pictures: Iterable[F32], method: Method) -> TensorsData:
    """Return the range of every activation of a float32 graph.

    Parameters
    ----------
    pictures : iterable of ndarray
        ``[1, C, h, w]``, what the network sees.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        source = Path(folder) / "source.onnx"
        onnx.save(graph, source)
        calibrator = create_calibrator(
            source, ["Conv", "Relu"], str(Path(folder) / "augmented.onnx"), method.kind, extra_options=method.options
        )
        for picture in pictures:
            calibrator.collect_data(_One(graph.graph.input[0].name, picture))
        return calibrator.compute_data()


def convolutions(graph: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that can be quantised, in order."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def quantise(graph: onnx.ModelProto, scheme: Scheme, ranges: TensorsData) -> onnx.ModelProto:
    """Return a quantised copy of a float32 model, without metadata.

    Weights are 8 bits, symmetric, one scale for each output channel. Activations are quantised where convolutions see
    them, and nowhere else: a gate and a sum take what was there before. For ``int8-trt`` they are int8 with zero point
    0, and all floats are half, biases among them: TensorRT refuses int32 ones. For ``int8-cpu`` they are uint8 (after a
    ReLU with zero point 0) and biases int32: ONNX Runtime makes integer kernels of nothing else.

    Parameters
    ----------
    ranges : TensorsData
        Of :func:`calibrate`.
    """
    copy = onnx.shape_inference.infer_shapes(graph)
    for_gpu = scheme.precision == "int8-trt"
    options = {"OpTypesToExcludeOutputQuantization": ["Conv"], "ActivationSymmetric": for_gpu}
    if for_gpu:
        options["QuantizeBias"] = False
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if for_gpu else QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=[name for name in convolutions(copy) if name not in scheme.kept],
        nodes_to_exclude=list(scheme.kept),
        op_types_to_quantize=["Conv"],
        extra_options=options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made: onnx.ModelProto = quantizer.model.model
    del made.graph.value_info[:]
    parts = _Parts(made)
    for pair in parts.activations():
        parts.spare(pair)
        if for_gpu and scheme.centred:
            centre(parts, pair, ranges)
    quantizer.model.topological_sort()
    return half(made) if for_gpu else made


def correct(graph: onnx.ModelProto, quantised: onnx.ModelProto, pictures: Iterable[F32]) -> None:
    """Take off what 8 bits add to the residual in the mean, by the bias of the last convolution.

    Parameters
    ----------
    graph, quantised : onnx.ModelProto
        In float32, and what :func:`quantise` made of it, which is changed.
    pictures : iterable of ndarray
        ``[1, C, h, w]``; what is darker than :data:`DARK` does not count.
    """
    parts = _Parts(quantised)
    moved, count = np.zeros(0), 0
    sessions = [_session(graph), _session(quantised)]
    for picture in pictures:
        lit = picture[0, 0] > DARK
        was, now = (_run(session, picture)[0][:, lit] for session in sessions)
        moved = (now - was).sum(1) + (moved if count else 0.0)
        count += int(lit.sum())
    if not count:
        return
    conv = parts.maker[quantised.graph.output[0].name]
    bias = parts.maker.get(conv.input[2])
    if bias is None:
        values = parts.array(conv.input[2])
        parts.set(conv.input[2], (values - moved / count).astype(values.dtype))
    else:
        whole, scale = parts.array(bias.input[0]), parts.array(bias.input[1]).astype(np.float64)
        parts.set(bias.input[0], (whole - np.rint(moved / count / scale)).astype(whole.dtype))


def _session(graph: onnx.ModelProto) -> ort.InferenceSession:
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    copy.ir_version = min(copy.ir_version, IR_VERSION)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, picture: F32) -> NDArray[np.float64]:
    entry = session.get_inputs()[0]
    x = picture.astype(np.float16) if entry.type == "tensor(float16)" else picture
    return np.asarray(session.run(None, {entry.name: x})[0], dtype=np.float64)


def centre(parts: _Parts, pair: _Pair, ranges: TensorsData) -> None:
    """Quantise an activation about the middle of its range, so that a zero point of 0 uses all levels.

    What a ReLU gives lies in half of them else. ``x - shift`` is quantised instead, and the convolutions after it add
    what they are short of to their biases. Only what zeros beyond the border stand for is not the same, and exact tiles
    throw that away with their halo. The input of the network is left as it is.
    """
    value = pair.quantizer.input[0]
    if value not in parts.maker:
        return
    low, high = edges(ranges, value)
    step, zero = grid(0.0 if parts.maker[value].op_type == "Relu" else low, high)
    shift = (128 - zero) * step
    parts.set(pair.quantizer.input[1], np.float32(step))
    for conv in parts.users[pair.dequantizer.output[0]]:
        whole, scale = (parts.array(name).astype(np.float64) for name in parts.maker[conv.input[1]].input[:2])
        parts.add_to_bias(conv, shift * whole.sum((1, 2, 3)) * scale)
    parts.graph.initializer.append(numpy_helper.from_array(np.asarray(shift, np.float32), f"{value}_shift"))
    parts.graph.node.append(helper.make_node("Sub", [value, f"{value}_shift"], [f"{value}_centred"]))
    pair.quantizer.input[0] = f"{value}_centred"


def edges(ranges: TensorsData, value: str) -> tuple[float, float]:
    """Return the smallest and largest value of an activation."""
    low, high = (np.asarray(edge).item() for edge in ranges[value].range_value)
    return float(low), float(high)


def grid(low: float, high: float) -> tuple[float, int]:
    """Return the step and the level of zero, 0 to 255, of 8 bits that hold the values from ``low`` to ``high``."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = max(high - low, 1e-8) / 255
    return step, round(-low / step)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The two nodes that round an activation to 8 bits."""

    quantizer: onnx.NodeProto
    dequantizer: onnx.NodeProto


class _Parts:
    """A graph with its nodes by what they give and take."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.weights = {w.name: w for w in self.graph.initializer}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def activations(self) -> list[_Pair]:
        quantizers = [node for node in self.graph.node if node.op_type == "QuantizeLinear"]
        return [_Pair(node, self.users[node.output[0]][0]) for node in quantizers]

    def spare(self, pair: _Pair) -> None:
        """Let all but convolutions take what was not rounded."""
        rounded, value = pair.dequantizer.output[0], pair.quantizer.input[0]
        for node in [node for node in self.users[rounded] if node.op_type != "Conv"]:
            node.input[:] = [value if name == rounded else name for name in node.input]
            self.users[rounded].remove(node)
            self.users[value].append(node)

    def array(self, name: str) -> NDArray[Any]:
        return numpy_helper.to_array(self.weights[name])

    def set(self, name: str, value: NDArray[Any] | np.float32) -> None:
        self.weights[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    def add_to_bias(self, conv: onnx.NodeProto, change: NDArray[np.float64]) -> None:
        """Add to a convolution's bias in float32, which it is given where it has none."""
        if len(conv.input) < 3:
            self.weights[f"{conv.name}_bias"] = self.graph.initializer.add()
            self.set(f"{conv.name}_bias", np.zeros(len(change), np.float32))
            conv.input.append(f"{conv.name}_bias")
        self.set(conv.input[2], (self.array(conv.input[2]) + change).astype(np.float32))
