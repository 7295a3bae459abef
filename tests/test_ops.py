"""What the ops refuse, and how they say it; what they take besides NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from acutance import _native, ops, oracle, tiling
from acutance.errors import UsageError

U16 = np.arange(81, dtype=np.uint16).reshape(9, 9)
PLAN = tiling.plan(9, 9, 9, 0, 2)
RESIDUAL = np.zeros((1, 4, 9, 9), np.float32)
NONE = np.zeros((9, 9), bool)


def read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def unaligned() -> np.ndarray:
    return np.zeros(163, np.uint8)[1:].view(np.uint16).reshape(9, 9)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda c: c.fill(U16.astype(np.float64), NONE), "slice has dtype ('d'|f8); wanted u1, i2, u2 or f4"),
        (lambda c: c.fill(U16.astype(">u2"), NONE), "dtype ('>H'|>u2).*this machine's byte order"),
        (lambda c: c.fill(U16[0], NONE), r"slice has shape \[9\]; wanted \[rows, cols\]"),
        (lambda c: c.fill(U16[:0], NONE[:0]), r"shape \[0, 9\]; wanted no side empty"),
        (lambda c: c.fill(U16.T, NONE), r"strides \[2, 18\] bytes; wanted 2 .*ascontiguousarray"),
        (lambda c: c.fill(unaligned(), NONE), "slice is not aligned to its 2-byte samples"),
        (lambda c: c.fill(U16, NONE[:5]), r"mask has shape \[5, 9\]; wanted \[9, 9\]"),
        (lambda c: c.fill(U16, NONE.astype(np.int32)), "mask has dtype ('i'|i4); wanted bool or u1"),
        (lambda c: c.fill(U16, NONE.T), "mask has strides"),
        (lambda c: c.fill(U16, NONE, out=np.zeros((9, 8), np.uint16)), r"out has shape \[9, 8\]; wanted \[9, 9\]"),
        (lambda c: c.fill(U16, NONE, out=np.zeros((9, 9), np.int16)), "out has dtype i2; wanted u2"),
        (lambda c: c.fill(U16, NONE, out=read_only(U16.copy())), "out is read-only"),
        (lambda c: c.gather(U16[:8], PLAN), "slice has 8x9 pixels; the plan wants 9x9"),
        (lambda c: c.gather(U16, PLAN, unshuffle=2), "the plan wants 18x18"),
        (lambda c: c.gather(U16, PLAN, unshuffle=0, out=RESIDUAL[:, :1]), "unshuffle is 0; wanted 1 to 16"),
        (lambda c: c.gather(U16, PLAN, gain=np.inf), "gain is inf; wanted a finite number"),
        (lambda c: c.gather(U16, PLAN, bias=np.nan), "bias is nan; wanted a finite number"),
        (lambda c: c.gather(U16, PLAN, gain=2, params=ops.parameters()), "params is given, and so are numbers"),
        (lambda c: c.assemble(None, U16, PLAN, high=9, params=ops.parameters()), "params is given, and so are numbers"),
        (lambda c: c.gather(U16, PLAN, dtype=np.float64), "out has dtype ('d'|f8); wanted f4 or f2"),
        (lambda c: c.gather(U16, PLAN, layout="chwn"), "layout is 'chwn'; wanted nchw or nhwc"),
        (lambda c: c.gather(U16, PLAN, first=1), "0 tiles are asked for"),
        (lambda c: c.gather(U16, PLAN, first=-1), "out holds tiles -1 to 0; the plan has 1"),
        (lambda c: c.gather(U16, PLAN, count=2), "out holds tiles 0 to 1; the plan has 1"),
        (lambda c: c.gather(U16, PLAN, out=np.zeros((2, 1, 9, 9), np.float32)), "out holds 2 tiles; wanted 1"),
        (lambda c: c.gather(U16, PLAN, out=np.zeros((1, 1, 9, 18), np.float32)[..., ::2]), "wanted a C-contiguous"),
        (lambda c: c.assemble(RESIDUAL[:, :3], U16, PLAN), r"residual has shape .* wanted \[T, 4, 9, 9\]"),
        (lambda c: c.assemble(RESIDUAL, U16, PLAN, layout="nhwc"), r"wanted \[T, 9, 9, at least 4\]"),
        (lambda c: c.assemble(RESIDUAL.astype(np.float64), U16, PLAN), "residual has dtype ('d'|f8); wanted f4 or f2"),
        (lambda c: c.assemble(None, U16, PLAN, base="linear"), "base is 'linear'; wanted cubic or lanczos4"),
        (lambda c: c.assemble(None, U16, PLAN, low=4.2, high=4.8), "no stored value lies from low 5 to high 4"),
        (lambda c: c.assemble(None, U16, PLAN, low=np.nan), "low is nan and high is 65535; wanted numbers"),
        (lambda c: c.assemble(None, U16, PLAN, mask=NONE, padding=-1), "padding is -1; wanted a whole number from 0"),
        (lambda c: c.assemble(None, U16, PLAN, mask=NONE, padding=0.5), "padding is 0.5; wanted a whole number"),
        (lambda c: c.assemble(None, U16, PLAN, rows=(0, 9)), "rows are given without out"),
        (
            lambda c: c.assemble(None, U16, PLAN, rows=(4, 10), out=U16),
            "rows are 4 to 10; wanted a range within 0 to 9",
        ),
        (lambda c: c.assemble(None, U16, tiling.plan(9, 9, 9, 0, 5)), "scale is 5; wanted 1 to 4"),
        (lambda c: c.assemble(None, U16, tiling.Plan(tiling.Axis(9, 3, 2, 0), PLAN.cols, 2)), "no plan has size 9"),
    ],
)
def test_refusals_say_what_was_wanted(core: ModuleType, call: Callable[[ModuleType], object], wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        call(core)


def test_missing_tiles_are_refused(core: ModuleType) -> None:
    plan = tiling.plan(40, 9, 12, 1, 2, overlap=2)
    picture, out = np.zeros((40, 9), np.uint8), np.zeros((80, 18), np.uint8)
    one = np.zeros((1, 4, 12, 12), np.float32)
    core.assemble(one, picture, plan, rows=(0, 8), out=out)
    with pytest.raises(UsageError, match="rows 0 to 8 need tiles 0 to 1; residual holds tiles 0 to 0"):
        core.assemble(one, picture, plan, rows=(0, 9), out=out)
    with pytest.raises(UsageError, match="rows 8 to 9 need tiles 0 to 1; residual holds tiles 1 to 1"):
        core.assemble(one, picture, plan, rows=(8, 10), first=1, out=out)
    core.assemble(one, picture, plan, rows=(10, 16), first=1, out=out)


@pytest.mark.parametrize("wrong", [np.zeros(8), np.zeros(5, np.float32), [1.0] * 8])
def test_parameters_of_another_kind_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"params has dtype .* and shape .*; wanted float32 \[8\]"):
        ops.gather(U16, PLAN, params=wrong)


def test_parameters_are_rounded_inward() -> None:
    assert ops.parameters(2, -1, padding=7).tolist() == [2, -1, -np.inf, np.inf, 7, 0, 0, 0]
    tenth = np.float32(0.1)  # lies above 0.1
    made = ops.parameters(low=0.1, high=0.1 + 5e-9)
    assert made[2] == made[3] == tenth
    assert np.isnan(ops.parameters(padding=np.nan)[4])
    assert ops.parameters(low=0.1 + 5e-9, high=1)[2] == np.nextafter(tenth, np.float32(1))
    for wrong in ({"gain": np.nan}, {"bias": np.inf}, {"low": 2, "high": 1}, {"low": np.nan}, {"padding": 1e39}):
        with np.errstate(over="ignore"), pytest.raises(UsageError, match="are no parameters"):
            ops.parameters(**wrong)


def test_objects_that_are_no_arrays_are_refused() -> None:
    with pytest.raises(UsageError, match="slice has dtype"):
        ops.fill(object(), NONE)
    with pytest.raises(UsageError, match="out is a list; wanted an array in host memory"):
        ops.fill(U16, NONE, out=[])  # type: ignore[arg-type]


def test_buffers_and_dlpack_come_in() -> None:
    wanted = oracle.gather(U16, PLAN)
    assert np.array_equal(ops.gather(memoryview(U16), PLAN), wanted)
    torch = pytest.importorskip("torch")
    residual = torch.rand(1, 4, 9, 9)
    out, _ = ops.assemble(residual, torch.from_numpy(U16.astype(np.int16)), PLAN)
    assert np.array_equal(out, oracle.assemble(residual.numpy(), U16.astype(np.int16), PLAN)[0])


def test_devices_are_counted_without_one() -> None:
    assert _native.cuda_device_count() >= 0
