"""Which engine is fastest for a picture's size on this GPU: precision x tile x batches, each built and timed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table

from .. import model as models
from ..backends.settings import GpuSettings
from ..errors import AcutanceError, BackendError
from ..trt_engines import best, device, flavour
from ..trt_engines import options as choices
from ..trt_engines.options import Options
from ..trt_engines.store import Store
from . import latency, ours, record, rivals

TILES = (128, 192, 256, 384, 512)
"""Sides that are tried beside the whole picture, halo included."""


def sweep(
    precisions: Iterable[str], tiles: Iterable[int], most: Iterable[int], layouts: Iterable[bool]
) -> list[Options]:
    """Return every combination; ``most`` are the largest batches, below which the ladder holds the powers of two."""
    return [
        choices.make(precision=precision, tile=tile, batches=ladder(batch), channels_last=last)
        for precision, tile, batch, last in itertools.product(precisions, tiles, most, layouts)
    ]


def ladder(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and ``most``."""
    return (*itertools.takewhile(lambda b: b < most, (1 << k for k in range(most.bit_length() + 1))), most)


def tiles_for(size: int, halo: int | None, asked: list[int]) -> list[int]:
    """Return the tiles to try for a square picture: those that are smaller than it, and the whole of it."""
    if halo is None:
        return [size]
    whole = size + 2 * halo
    return [*(t for t in asked or TILES if 2 * halo < t < whole), whole]


def measure(name: str, size: int, options: Options, gpu: GpuSettings, length: latency.Length) -> dict[str, Any]:
    """Build an engine if need be and time frames with it, back to back; return its row.

    Raises
    ------
    AcutanceError
        It cannot be built or run.
    """
    shown = rivals.Shown.of(models.load(name), size)
    with ours.opened(shown, ours.Setting("tensorrt", 0, gpu.model_copy(update={"engine": options}))) as frame:
        timed = latency.back_to_back(frame.run, length, latency.Clock())
        return {"model": name, "size": size, **frame.about(), **latency.row(timed, "back to back", None)}


def fastest(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the row with the smallest median for each precision; int8 is faster at a price, so they do not compete."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["precision"] not in found or row["ms"]["p50"] < found[row["precision"]]["ms"]["p50"]:
            found[row["precision"]] = row
    return found


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is swept; an empty list of tiles stands for :data:`TILES`."""

    precisions: list[str]
    tiles: list[int]
    batches: list[int]
    layouts: list[bool]


def run(
    name: str, size: int, asked: Asked, settings: GpuSettings, length: latency.Length, seconds: float, json: Path | None
) -> None:
    """Sweep, print the table, keep the fastest of each precision beside the engines, and write the result file.

    After ``seconds`` no other engine is begun; 0: there is no limit.

    Raises
    ------
    BackendError
        There is no GPU, or no engine could be built and run.
    """
    gpu, maker = device.current(), flavour.load("auto")
    about, console, rows = record.machine(), Console(), []
    meta = models.load(name).meta
    tiles = tiles_for(size, meta.halo, asked.tiles)
    over = perf_counter() + (seconds or math.inf)
    swept = sweep(asked.precisions, tiles, asked.batches, asked.layouts)
    for i, options in enumerate(progress.track(swept, "engines")):
        if perf_counter() > over:
            console.print(f"left out: {len(swept) - i} of {len(swept)} engines, for lack of time", highlight=False)
            break
        try:
            rows.append(measure(name, size, options, settings, length))
        except AcutanceError as e:
            what = f"{options.precision}, tile {options.tile}, batches {options.batches}"
            console.print(f"left out: {what}: {e}", highlight=False, markup=False)
    if not rows:
        raise BackendError("no engine of the sweep could be built and run")
    kept = fastest(rows)
    table = Table("precision", "tile", "batches", "NHWC", "p50", "p99", "", title=f"{name}, {size}, {gpu.name}: ms")
    for row in rows:
        mark = "fastest" if row is kept[row["precision"]] else ""
        last = "yes" if row["channels_last"] else ""
        ms = [f"{row['ms'][k]:.3f}" for k in ("p50", "p99")]
        table.add_row(row["precision"], str(row["tile"]), row["batches"], last, *ms, mark)
    console.print(table)
    for precision, row in kept.items():
        fastest_settings = best.Best(
            tile=row["tile"],
            batches=tuple(int(b) for b in row["batches"].split(",")),
            channels_last=row["channels_last"],
            p50_ms=row["ms"]["p50"],
            flavour=f"{maker.name} {maker.version}",
        )
        best.keep(Store(settings.store).folder, meta.name, precision, gpu, (size, size), fastest_settings)
    if json:
        record.write(json, "engines", rows, about)
