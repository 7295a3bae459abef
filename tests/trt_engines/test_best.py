"""The fastest settings are found again, and only for what they were measured for."""

from __future__ import annotations

from pathlib import Path

import pytest
from acutance.trt_engines import best
from acutance.trt_engines.device import Device
from acutance.trt_engines.options import Options

from acutance.errors import InputError

GPU = Device(name="Some GPU", compute_capability=(8, 6), sm_count=10)
OTHER = Device(name="Other GPU", compute_capability=(8, 6), sm_count=10)
BEST = best.Best(tile=(128, 256), batches=(1, 4), channels_last=True, p50_ms=0.5, flavour="rtx 1.4")


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    assert best.find(folder, "m", "fp16", GPU, (512, 512)) is None
    best.keep(folder, "m", "fp16", GPU, (512, 512), BEST)
    best.keep(folder, "m", "int8", GPU, (512, 512), BEST.model_copy(update={"tile": 64}))
    assert best.find(folder, "m", "fp16", GPU, (512, 512)) == BEST
    for other in (("n", "fp16", GPU, (512, 512)), ("m", "fp32", GPU, (512, 512)), ("m", "fp16", OTHER, (512, 512))):
        assert best.find(folder, *other) is None
    assert best.find(folder, "m", "fp16", GPU, (512, 640)) is None
    best.keep(folder, "m", "fp16", GPU, (512, 512), BEST.model_copy(update={"tile": 96}))
    found = best.find(folder, "m", "fp16", GPU, (512, 512))
    assert found is not None and found.tile == 96


def test_it_changes_options() -> None:
    options = BEST.apply(Options(precision="int8", level=5))
    assert (options.tile, options.batches, options.channels_last) == ((128, 256), (1, 4), True)
    assert (options.precision, options.level) == ("int8", 5)


@pytest.mark.parametrize("text", ["", "[]", '{"m.fp16.some-gpu.512x512": {"tile": 0}}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / best.NAME).write_text(text)
    with pytest.raises(InputError, match=r"best\.json: is damaged"):
        best.find(tmp_path, "m", "fp16", GPU, (512, 512))
