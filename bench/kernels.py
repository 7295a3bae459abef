"""Bytes that the core's ops read and write in a second, beside memcpy with the same threads in the same run."""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import _native, ops, tiling
from . import record


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
        Least share of memcpy's bytes a second.
    """

    name: str
    call: Callable[[], object]
    bytes: int
    wanted: float | None = None


def main(arguments: list[str]) -> int:
    """Print the table; the status is 1 when a case is slower than wanted."""
    parser = argparse.ArgumentParser(prog="python -m acutance.bench kernels", description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="output pixels a side (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--path", choices=_native.core.paths(), default=_native.core.paths()[-1])
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    options = parser.parse_args(arguments)
    about = record.machine()
    _native.core.use_path(options.path)
    rows = measure(list(cases(options.size, options.threads)), options.threads, options.repeats)
    print(f"{options.path}, {options.threads} threads, {about['cpu']}, load before {about['load_before']}")
    print(f"{'case':28}{'ms':>9}{'GB/s':>8}{'of memcpy':>11}{'wanted':>8}")
    for row in rows:
        wanted = "" if row["wanted"] is None else f"{row['wanted']:.2f}"
        print(f"{row['case']:28}{row['ms']['p50']:9.2f}{row['gb_s']:8.2f}{row['of_memcpy']:11.2f}{wanted:>8}")
    if options.json:
        settings = {"size": options.size, "threads": options.threads, "path": options.path}
        record.write(options.json, "kernels", [{**row, **settings} for row in rows], about)
    return int(any(row["wanted"] is not None and row["of_memcpy"] < row["wanted"] for row in rows))


def measure(measured: list[Case], threads: int, repeats: int) -> list[dict[str, Any]]:
    """Time every case and a memcpy of as many bytes in turn; rates and shares are of the medians."""
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(threads) as pool:
        for case in measured:
            times = record.interleaved({"op": case.call, "memcpy": _memcpy(case.bytes, threads, pool)}, repeats)
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


def cases(size: int, threads: int) -> Iterator[Case]:
    """The ops on a ``size / 2`` squared uint16 slice, tiles of 512 with a halo of 7, scale 2."""
    n = size // 2
    rng = np.random.default_rng(0)
    picture = rng.integers(500, 3000, (n, n)).astype(np.uint16)
    plan = tiling.plan(n, n, min(512, n + 14), 7, 2)
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
