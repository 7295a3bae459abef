"""A graph with 8-bit convolutions: Q/DQ nodes by ONNX Runtime's quantiser, ranges by its calibrators."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
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
    Method("entropy", CalibrationMethod.Entropy),
    Method("percentile 99.9999", CalibrationMethod.Percentile, {"percentile": 99.9999}),
    Method("percentile 99.9995", CalibrationMethod.Percentile, {"percentile": 99.9995}),
)
"""What is tried. Lower percentiles cut edges, which are few and are what counts: 99.999 loses five times as much as
99.9999 in `ct-rt-x2`; the largest value itself four times as much, as it spends most levels on the rarest samples."""


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


def quantise(
    graph: onnx.ModelProto,
    precision: Int8,
    ranges: TensorsData,
    kept: Collection[str] = (),
) -> onnx.ModelProto:
    """Return a quantised copy of a float32 model, without metadata.

    Weights are 8 bits, symmetric, one scale for each output channel. What a convolution gives is not quantised before
    its ReLU, and the last one's not at all. For ``int8-trt`` activations are int8 with zero point 0, and all floats are
    half, biases among them: TensorRT refuses int32 ones. For ``int8-cpu`` they are uint8 (after a ReLU with zero point
    0) and biases int32: ONNX Runtime makes integer kernels of nothing else.

    Parameters
    ----------
    kept : collection of str
        Convolutions that stay in floating point.
    """
    copy = onnx.shape_inference.infer_shapes(graph)
    for_gpu = precision == "int8-trt"
    chosen = [name for name in convolutions(copy) if name not in kept]
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
        nodes_to_quantize=chosen,
        nodes_to_exclude=list(kept),
        op_types_to_quantize=["Conv"],
        extra_options=options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made: onnx.ModelProto = quantizer.model.model
    del made.graph.value_info[:]
    return half(made) if for_gpu else made
