"""Bytes that the core's ops read and write in a second, beside a copy of as many bytes in the same run."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .. import _native, ops, tiling
from ..errors import BackendError, UsageError
from . import record
from .device import Device, OnDevice, open_device

TILE, HALO = 512 + 14, 7
GATHER, ASSEMBLE = 0.85, 0.70
"""Least shares of the GPU's copy bandwidth that are wanted."""

Call = Callable[[], object]
Interleaved = Callable[[dict[str, Call], int], dict[str, list[float]]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One call to measure.

    Attributes
    ----------
    name : str
        The op, and what is special about it.
    call : callable
    bytes : int
        Read and written: each input and output once.
    wanted : float or None
        Least share of the copy's bytes a second.
    """

    name: str
    call: Call
    bytes: int
    wanted: float | None = None


def run(on: str, size: int, threads: int, repeats: int, path: str, json: Path | None) -> bool:
    """Measure, print the table and write the result file; return whether every case is as fast as wanted.

    Raises
    ------
    BackendError
        There is no GPU, or this acutance was built without CUDA.
    UsageError
        The CPU lacks those instructions.
    """
    settings: dict[str, Any] = {"on": on, "size": size}
    about = record.machine()
    if on == "cuda":
        rows = _on_gpu(size, repeats)
    else:
        known = _native.core.paths()
        if path and path not in known:
            raise UsageError(f"path '{path}' is none of this CPU; there are: {', '.join(known)}")
        settings |= {"threads": threads, "path": path or known[-1]}
        _native.core.use_path(settings["path"])
        rows = _on_cpu(size, threads, repeats)
    table = Table("case", "ms (median)", "GB/s", "of copy", "wanted", title=_title(settings, about))
    for row in rows:
        wanted = "" if row["wanted"] is None else f"{row['wanted']:.2f}"
        table.add_row(row["case"], f"{row['ms']['p50']:.3f}", f"{row['gb_s']:.1f}", f"{row['of_memcpy']:.2f}", wanted)
    Console().print(table)
    if json:
        record.write(json, "kernels", [{**row, **settings} for row in rows], about)
    return all(row["wanted"] is None or row["of_memcpy"] >= row["wanted"] for row in rows)


def _title(settings: dict[str, Any], about: dict[str, Any]) -> str:
    if settings["on"] == "cuda":
        return f"Ops on {(about['gpu'] or {}).get('name', 'a GPU')}"
    return (
        f"Ops on {about['cpu']}: {settings['path']}, {settings['threads']} threads, load {about['load_before']} before"
    )


def _on_cpu(size: int, threads: int, repeats: int) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(threads) as pool:
        found = list(cases(size, threads))
        return measure(found, repeats, record.interleaved, lambda total: _memcpy(total, threads, pool))


def _on_gpu(size: int, repeats: int) -> list[dict[str, Any]]:
    if _native.cuda is None:
        raise BackendError("no GPU path: this acutance was built without CUDA; build it where nvcc is found")
    with contextlib.closing(open_device()) as device:
        found = list(gpu_cases(device, size))
        return measure(found, repeats, device.interleaved, lambda total: _copy(device, total))


def measure(
    measured: list[Case], repeats: int, interleaved: Interleaved, copy_of: Callable[[int], Call]
) -> list[dict[str, Any]]:
    """Time every case and a copy of as many bytes in turn; rates and shares are of the medians."""
    rows: list[dict[str, Any]] = []
    for case in measured:
        times = interleaved({"op": case.call, "memcpy": copy_of(case.bytes)}, repeats)
        own, copy = record.summary(times["op"]), record.summary(times["memcpy"])
        rows.append(
            {
                "case": case.name,
                "bytes": case.bytes,
                "ms": own,
                "gb_s": case.bytes / own["p50"] / 1e6,
                "memcpy_ms": copy,
                "memcpy_gb_s": case.bytes / copy["p50"] / 1e6,
                "of_memcpy": copy["p50"] / own["p50"],
                "wanted": case.wanted,
            }
        )
    return rows


def gpu_cases(device: Device, size: int) -> Iterator[Case]:
    """The ops on the GPU, half tiles: gather of a ``size`` squared uint16 slice, assemble to ``size`` squared."""
    rng = np.random.default_rng(0)

    def slice_of(side: int) -> OnDevice:
        return device.upload(rng.integers(500, 3000, (side, side)).astype(np.uint16))

    plan = tiling.plan(size, size, min(TILE, size + 2 * HALO), HALO, 2)
    source = slice_of(size)
    for layout in ("nchw", "nhwc"):
        tiles = device.empty(ops.tiles_shape(plan, 1, layout, plan.count), np.float16)
        yield Case(
            f"gather, {layout}", _gather(device, source, plan, tiles, layout), source.nbytes + tiles.nbytes, GATHER
        )
    for scale in (2, 4):
        side = size // scale
        picture = slice_of(side)
        plan = tiling.plan(side, side, min(TILE, side + 2 * HALO), HALO, scale)
        out = device.empty(plan.output_shape, np.uint16)
        residual = device.upload(
            rng.normal(0, 0.01, ops.tiles_shape(plan, scale, "nchw", plan.count)).astype(np.float16)
        )
        used = 2 * out.nbytes + picture.nbytes  # half a residual sample for each output sample, without the halos
        for guard in (False, True):
            name = f"assemble, scale {scale}{', guard' if guard else ''}"
            yield Case(name, _assemble(device, residual, picture, plan, out, guard), used, ASSEMBLE)


def _gather(device: Device, source: OnDevice, plan: tiling.Plan, tiles: OnDevice, layout: str) -> Call:
    return lambda: ops.gather(
        source, plan, gain=1 / 4095, dtype=np.float16, layout=layout, out=tiles, stream=device.stream
    )


def _assemble(
    device: Device, residual: OnDevice, picture: OnDevice, plan: tiling.Plan, out: OnDevice, guard: bool
) -> Call:
    flag = device.upload(np.zeros(1, np.int64))
    return lambda: ops.assemble(
        residual, picture, plan, gain=1 / 4095, guard=guard, out=out, nonfinite=flag, stream=device.stream
    )


def _copy(device: Device, total: int) -> Call:
    """Return a call that copies ``total / 2`` bytes on the device, so that ``total`` are read and written."""
    source, target = (device.empty((total // 2,), np.uint8) for _ in range(2))
    device.clear(source)
    return lambda: device.copy(target, source)


def cases(size: int, threads: int) -> Iterator[Case]:
    """The ops on a ``size / 2`` squared uint16 slice, tiles of 512 with a halo of 7, scale 2."""
    n = size // 2
    rng = np.random.default_rng(0)
    picture = rng.integers(500, 3000, (n, n)).astype(np.uint16)
    plan = tiling.plan(n, n, min(512, n + 14), HALO, 2)
    residual = rng.normal(0, 0.01, (plan.count, 4, *plan.tile_shape)).astype(np.float32)
    out = np.empty(plan.output_shape, np.uint16)
    used = 4 * out.size + picture.nbytes + out.nbytes  # without the halos, which are not read

    def assemble(**settings: Any) -> Callable[[], object]:
        return lambda: ops.assemble(residual, picture, plan, gain=1 / 4095, out=out, threads=threads, **settings)

    yield Case("assemble", assemble(), used, 0.4)
    yield Case("assemble, guard", assemble(guard=True), used, 0.15)
    yield Case("assemble, lanczos4", assemble(base="lanczos4"), used)
    tiles = np.empty((plan.count, 1, *plan.tile_shape), np.float32)
    yield Case("gather", lambda: ops.gather(picture, plan, out=tiles, threads=threads), picture.nbytes + tiles.nbytes)
    r, c = np.mgrid[0:n, 0:n]
    mask = (r - n / 2) ** 2 + (c - n / 2) ** 2 > (0.45 * n) ** 2  # a scanner's round field of view
    filled = np.empty_like(picture)
    yield Case(
        "fill, outside of a disc",
        lambda: ops.fill(picture, mask, out=filled, threads=threads),
        2 * picture.nbytes + mask.nbytes,
    )


def _memcpy(total: int, threads: int, pool: ThreadPoolExecutor) -> Callable[[], object]:
    """Return a call that copies ``total / 2`` bytes, so that ``total`` are read and written, with C's memcpy."""
    memcpy = ctypes.CDLL(None).memcpy
    memcpy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    memcpy.restype = ctypes.c_void_p
    part = total // 2 // threads
    source, target = np.ones(part * threads, np.uint8), np.empty(part * threads, np.uint8)

    def one(i: int) -> None:
        memcpy(target.ctypes.data + i * part, source.ctypes.data + i * part, part)

    return lambda: list(pool.map(one, range(threads)))
