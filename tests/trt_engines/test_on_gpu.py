"""On a GPU: what was built is deserialised there, and is what its record says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acutance.trt_engines import device, flavour
from acutance.trt_engines.options import Options
from acutance.trt_engines.store import Store

from acutance.errors import BackendError

pytestmark = pytest.mark.gpu

OPTIONS = Options(tile=64, batches=(1, 2))


@pytest.fixture(params=["tensorrt", "rtx"])
def installed(request: pytest.FixtureRequest) -> flavour.Flavour:
    """A flavour of TensorRT that is installed and builds for this GPU."""
    try:
        found = flavour.load(request.param)
    except BackendError as e:
        pytest.skip(f"no full TensorRT: {e}" if request.param == "tensorrt" else str(e))
    if found.name == "rtx" and not hasattr(found.trt.ComputeCapability, device.current().sm):
        pytest.skip(f"no GPU that TensorRT-RTX builds for, but {device.current()}")
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_engine_is_what_its_record_says(
    installed: flavour.Flavour, small: Any, tmp_path: Path, precision: str
) -> None:
    trt = installed.trt
    model = small({"int8": "int8-trt"}.get(precision, precision))
    chosen = OPTIONS.model_copy(update={"precision": precision})
    stored = Store(tmp_path / "engines").get(model, chosen, device.current(), flavour=installed)
    engine = trt.Runtime(installed.logger).deserialize_cuda_engine(stored.plan)
    assert engine is not None
    assert engine.num_optimization_profiles == 2
    names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
    assert names == {t.name for t in stored.record.parts.io}
    for tensor in stored.record.parts.io:
        assert engine.get_tensor_dtype(tensor.name) == (trt.float32 if tensor.dtype == "float" else trt.float16)
        for k, shape in enumerate(tensor.shapes):
            assert engine.get_tensor_format(tensor.name, k) == getattr(trt.TensorFormat, tensor.format)
            if tensor.mode == "input":
                low, best, high = engine.get_tensor_profile_shape(tensor.name, k)
                assert tuple(low) == tuple(best) == tuple(high) == shape


def test_an_engine_of_another_gpu_is_not_taken(installed: flavour.Flavour, small: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "engines")
    first = store.get(small("fp16"), OPTIONS, device.current(), flavour=installed)
    other = device.current().model_copy(update={"sm_count": device.current().sm_count + 2})
    again = store.get(small("fp16"), OPTIONS, other, flavour=installed)
    assert again.built and "device.sm_count was" in again.reason
    assert first.path == again.path
