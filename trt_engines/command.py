"""``acutance build`` and ``acutance engines``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..errors import UsageError
from . import device as devices
from . import flavour as flavours
from . import options as settings
from .options import Options
from .progress import Bar
from .store import Record, Store, outdated
from .trusted import Refused

build_app = typer.Typer(add_completion=False)
engines_app = typer.Typer(add_completion=False, no_args_is_help=True, help="The engines that were built.")

Folder = Annotated[
    Path | None,
    typer.Option("--store", envvar="ACUTANCE_ENGINES", help="Folder of the engines; default: in the user's cache."),
]

FILE_WIDTH = 10_000
"""Columns that a table may have where it goes to a file: nothing is broken there."""


@build_app.command()
def build(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A model that comes with acutance, or an .onnx file.")
    ],
    recipe: Annotated[str | None, typer.Option(help="A recipe's .toml file, or one of the names below.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16 or int8; a file has the one it has.")] = None,
    tile: Annotated[str | None, typer.Option(help="Side of the tiles, halo included, as 128 or 480x640.")] = None,
    batches: Annotated[str | None, typer.Option(help="Tiles at a time, as 1,2,4,8,16.")] = None,
    flavour: Annotated[str | None, typer.Option(help="auto, tensorrt or rtx.")] = None,
    level: Annotated[int | None, typer.Option(help="0 to 5: how long to look for faster kernels.")] = None,
    tiling: Annotated[
        str | None, typer.Option(help="none, fast, moderate or full: keep layers in the L2 cache.")
    ] = None,
    aux_streams: Annotated[int | None, typer.Option(help="Streams beside the main one.")] = None,
    persistent_cache: Annotated[int | None, typer.Option(help="Bytes of L2 cache kept for activations.")] = None,
    channels_last: Annotated[
        bool | None, typer.Option("--channels-last/--channels-first", help="Order of small half outputs in memory.")
    ] = None,
    workspace_mib: Annotated[int | None, typer.Option(help="Most scratch memory of a layer.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Build for a GPU that is not here, as sm86 (TensorRT-RTX only).")
    ] = None,
    store: Folder = None,
) -> None:
    """Build the TensorRT engine of a model, unless the store has it."""
    said = {
        "precision": precision,
        "tile": None if tile is None else _tile(tile),
        "batches": None if batches is None else _numbers("batches", batches),
        "flavour": flavour,
        "level": level,
        "tiling": tiling,
        "aux_streams": aux_streams,
        "persistent_cache": persistent_cache,
        "channels_last": channels_last,
        "workspace_mib": workspace_mib,
    }
    changes: dict[str, Any] = {k: v for k, v in said.items() if v is not None}
    options = settings.make(**changes) if recipe is None else Options.from_toml(recipe, **changes)
    if target is not None and options.flavour == "auto":
        options = options.model_copy(update={"flavour": "rtx"})
    found, options = settings.resolve(model, options)
    if precision is not None and precision != options.precision:
        raise UsageError(f"is {options.precision}; --precision wants {precision}", found.path)
    installed = flavours.load(options.flavour)
    device = devices.current() if target is None else devices.target(target)
    with Bar(found.meta.name) as bar:
        stored = Store(store).get(found, options, device, flavour=installed, progress=bar)
    if stored.reason:
        typer.echo(f"{stored.path}: the engine that was there was refused ({stored.reason})", err=True)
    how = f"built in {stored.record.seconds:.1f} s" if stored.built else f"is there since {stored.record.built}"
    maker = stored.record.parts.flavour
    typer.echo(
        f"{stored.path}: {how} by {flavours.title(maker.name)} {maker.version} for {device.name} ({device.sm}),"
        f" {len(stored.plan) / 1e6:.1f} MB"
    )


build.__doc__ = f"{build.__doc__} Recipes: {', '.join(settings.recipes())}."


@engines_app.command("list")
def list_engines(store: Folder = None) -> None:
    """Show every engine of the store."""
    table = Table("engine", "tile", "batches", "built by", "GPU", "MB", "built", "state", box=SIMPLE_HEAD)
    for path, found in Store(store).engines():
        if isinstance(found, Refused):
            table.add_row(path.name, *[""] * 6, str(found))
            continue
        parts = found.parts
        options = settings.make(**parts.options)
        table.add_row(
            path.name,
            options.tile_text,
            ",".join(map(str, options.batches)),
            f"{parts.flavour.name} {parts.flavour.version}",
            f"{parts.device.name} ({parts.device.sm})",
            f"{found.size / 1e6:.1f}",
            found.built,
            outdated(found) or "ok",
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table, soft_wrap=False)


@engines_app.command()
def verify(store: Folder = None) -> None:
    """Check every engine of the store as it is checked before it is used; exit with 1 if one is refused."""
    bad = 0
    for path, found in Store(store).engines():
        why = outdated(found) if isinstance(found, Record) else str(found)
        bad += bool(why)
        typer.echo(f"{path}: {why or 'ok'}")
    raise typer.Exit(bool(bad))


@engines_app.command()
def prune(
    store: Folder = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every engine and cache.")] = False,
) -> None:
    """Remove engines that are refused or of another TensorRT, and what belongs to none."""
    for path, why in Store(store).prune(everything):
        typer.echo(f"{path}: removed ({why})")


def _tile(text: str) -> int | tuple[int, ...]:
    sides = _numbers("tile", text.replace("x", ","))
    return sides[0] if len(sides) == 1 else sides


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(x) for x in text.split(","))
    except ValueError:
        raise UsageError(f"--{name} '{text}' is no list of whole numbers") from None
