"""``acutance evaluate``: score rivals and models on a data set by the protocol of ``docs/quality.md``."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UsageError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with MANIFEST.csv.")],
    split: Annotated[str, typer.Option(help="train, val or test; test is for releases only.")] = "val",
    models: Annotated[
        list[str] | None, typer.Option(help="Names or .onnx files, repeated or with commas (default: all shipped).")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Rivals or models to compare with (default: all rivals).")
    ] = None,
    modality: Annotated[list[str] | None, typer.Option(help="CT, MR, XR, US, ENDO, PET (default: all).")] = None,
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 2,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for quality.json and one PNG per modality.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0: one per processor.")] = 0,
    limit: Annotated[int, typer.Option(help="At most so many slices per scan: a quick look, not the protocol.")] = 0,
) -> None:
    """Score models and what a user would take instead, and show how much they differ."""
    console = Console()
    try:
        report = make_report(
            data,
            split,
            _names(models),
            _names(against),
            _names(modality),
            scale=scale,
            jobs=jobs,
            limit=limit,
            output=output,
            console=Console(stderr=True),
        )
    except ModuleNotFoundError as e:
        raise UsageError(f"`acutance evaluate` needs {e.name}: pip install 'acutance[evaluate]'") from None
    from .table import rich_tables

    for table in rich_tables(report):
        console.print(table)
    if output is not None:
        console.print(f"written to {output}", highlight=False)


def make_report(
    data: Path,
    split: str,
    models: Sequence[str] = (),
    against: Sequence[str] = (),
    wanted: Sequence[str] = (),
    *,
    scale: int = 2,
    jobs: int = 0,
    limit: int = 0,
    output: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run the protocol and return the report of :mod:`.report`; write it and the pictures when ``output`` is given.

    Raises
    ------
    InputError
        The data cannot be read.
    UsageError
        A modality or scale is not known, or the split has nothing that is wanted.
    ModelError
        A model cannot be loaded.
    """
    from . import methods as compared
    from . import report as reports
    from . import run, score

    started = time.perf_counter()
    unknown = [m for m in wanted if m not in score.MODALITIES]
    if unknown:
        raise UsageError(f"modality {unknown[0]} is not one of {', '.join(score.MODALITIES)}")
    methods = compared.choose(models, against, scale)
    tasks = [
        task
        for modality in (wanted or score.MODALITIES)
        for task in run.plan(data, split, modality, methods, scale, limit)
    ]
    if not tasks:
        raise UsageError(f"{data} has no {split} scans of {', '.join(wanted) or 'any modality'}")
    modalities = list(dict.fromkeys(t.scan.modality for t in tasks))
    with _progress(console) as progress:
        bar = progress.add_task("slices", total=sum(len(t.places) for t in tasks))
        records = run.run(tasks, jobs or run.default_jobs(), lambda n: progress.advance(bar, n))
    edges = {k: v for modality in modalities for k, v in run.edges(modality, methods, scale).items()}
    names = [m.name for m in methods if m.kind == "rival" or m.target in against]
    report = {
        "protocol": score.PROTOCOL,
        "split": split,
        "scale": scale,
        "limit": limit,
        **_circumstances(),
        "models": {m.name: _described(m.target) for m in methods if m.kind == "model" and m.target != "base"},
        "rows": reports.rows(records, {m.name: m.kind for m in methods}, names, edges),
    }
    report["seconds"] = round(time.perf_counter() - started, 1)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        reports.save(report, output / "quality.json")
        for modality in modalities:
            draw(report, data, modality, methods, output / f"{modality}.png")
    return report


def draw(report: dict[str, Any], data: Path, modality: str, methods: Sequence[Any], path: Path) -> None:
    """Draw a modality's picture: cubic, the best other rival, at most two models."""
    from . import methods as compared
    from . import picture

    scale = report["scale"]
    known = {m.name: m for m in compared.usable(methods, modality, scale)}
    best = picture.best_rival(report, modality, picture.shown_degradation(modality).name)
    ours = [m for m in known.values() if m.kind == "model"][:2]
    shown = [("cubic", known["cubic"])] if "cubic" in known else []
    if best is not None:
        shown.append((f"best rival: {best}", known[best]))
    shown += [(m.name, m) for m in ours]
    chosen = picture.samples(data, report["split"], modality, scale)
    if shown and chosen:
        picture.draw(path, modality, chosen, shown, scale)


def _names(given: Sequence[str] | None) -> list[str]:
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def _progress(console: Console | None) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=console is None, transient=True)


def _described(target: str) -> dict[str, str]:
    from .. import model as models

    model = models.load(target)
    return {"version": model.meta.version, "sha256": model.sha256, "guard": model.meta.guard, "base": model.meta.base}


def _circumstances() -> dict[str, Any]:
    packages = ("acutance", "numpy", "scipy", "scikit-image", "onnxruntime")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {p: importlib.metadata.version(p) for p in packages},
    }


def _commit() -> str:
    """Return the checkout's commit, marked when files differ from it; empty for an installed package."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
