"""``acutance evaluate``: score rivals and models on a data set by the protocol of ``docs/quality.md``."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UsageError

if TYPE_CHECKING:
    from .methods import Method

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
    scale: Annotated[list[str] | None, typer.Option(help="2, 3, 4, or several with commas (default: 2).")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for quality.json and one PNG per modality and scale.")
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
            scales=_scales(scale),
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
    scales: Sequence[int] = (2,),
    jobs: int = 0,
    limit: int = 0,
    output: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run the protocol and return the report of :mod:`.report`; write it and the pictures when ``output`` is given.

    The first scale is scored for every modality, with noise too, another one for those that have a model of it.

    Raises
    ------
    InputError
        The data cannot be read.
    UsageError
        A modality or scale is not known, a model is of no scale that is wanted, or the split has nothing that is
        wanted.
    ModelError
        A model cannot be loaded.
    """
    from . import report as reports
    from . import run, score, sparse, sparse_fit

    started = time.perf_counter()
    unknown = [m for m in wanted if m not in score.MODALITIES]
    if unknown:
        raise UsageError(f"modality {unknown[0]} is not one of {', '.join(score.MODALITIES)}")
    methods = _methods(data, models, against, scales)
    tasks = []
    for scale, found in methods.items():
        for modality in wanted or score.MODALITIES:
            if scale == scales[0] or any(m.kind == "model" and m.code_for(modality) for m in found):
                if any(m.name in sparse.NAMES for m in found):
                    sparse_fit.prepare(data, modality, scale)
                tasks += run.plan(data, split, modality, found, scale, limit, noise=scale == scales[0])
    if not tasks:
        raise UsageError(f"{data} has no {split} scans of {', '.join(wanted) or 'any modality'}")
    with _progress(console) as progress:
        bar = progress.add_task("slices", total=sum(len(t.places) for t in tasks))
        records, findings = run.run(tasks, jobs or run.default_jobs(), lambda n: progress.advance(bar, n))
    shown = list(dict.fromkeys((t.scale, t.scan.modality) for t in tasks))
    edges = {k: v for scale, modality in shown for k, v in run.edges(modality, methods[scale], scale).items()}
    every = {m.name: m for found in methods.values() for m in found}
    kinds = {name: m.kind for name, m in every.items()}
    report = {
        "protocol": score.PROTOCOL,
        "split": split,
        "scales": list(scales),
        "limit": limit,
        **_circumstances(),
        "models": {m.name: _described(m.target) for m in every.values() if m.kind == "model" and m.target != "base"},
        "rows": reports.rows(records, kinds, _baselines(every.values(), against), edges),
        "lesions": reports.lesion_rows(findings, kinds),
    }
    report["seconds"] = round(time.perf_counter() - started, 1)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        reports.save(report, output / "quality.json")
        for scale, modality in shown:
            draw(report, data, modality, methods[scale], scale, output / picture_name(modality, scale))
    return report


def _methods(
    data: Path, models: Sequence[str], against: Sequence[str], scales: Sequence[int]
) -> dict[int, list[Method]]:
    """Return what is compared at each scale."""
    from . import methods as compared
    from . import sparse_fit

    for target in [*models, *compared.models_among(against)]:
        scale = compared.scale_of(target)
        if scale is not None and scale not in scales:
            raise UsageError(f"model {target} enlarges by {scale}; --scale is {', '.join(map(str, scales))}")
    folder = sparse_fit.folder(data)
    return {scale: compared.choose(models, against, scale, folder) for scale in scales}


def _baselines(methods: Iterable[Method], against: Sequence[str]) -> list[str]:
    """Return the names that models are compared with: rivals, what was asked for, and the smallest network."""
    from ..model import load

    def is_small(m: Method) -> bool:
        return m.target != "base" and m.kind == "model" and load(m.target).meta.network == "rt" and " " not in m.name

    return [m.name for m in methods if m.kind == "rival" or m.target in against or is_small(m)]


def picture_name(modality: str, scale: int) -> str:
    """Return the file name of a modality's picture; that of scale 2 bears no scale."""
    return f"{modality}.png" if scale == 2 else f"{modality}-x{scale}.png"


def draw(report: dict[str, Any], data: Path, modality: str, methods: Sequence[Method], scale: int, path: Path) -> None:
    """Draw a modality's picture: cubic, the best other rival, at most four models."""
    from . import methods as compared
    from . import picture, score

    known = {m.name: m for m in compared.usable(methods, modality, scale)}
    best = picture.best_rival(report, scale, modality, score.shown(modality).name)
    ours = [m for m in known.values() if m.kind == "model"][:4]
    shown = [("cubic", known["cubic"])] if "cubic" in known else []
    if best is not None:
        shown.append((f"best rival: {best}", known[best]))
    shown += [(m.caption, m) for m in ours]
    chosen = picture.samples(data, report["split"], modality, scale)
    if shown and chosen:
        picture.draw(path, modality, chosen, shown, scale)


def _scales(given: Sequence[str] | None) -> list[int]:
    found = [int(x) if x.isdigit() else 0 for x in _names(given)] or [2]
    if not set(found) <= {2, 3, 4}:
        raise UsageError(f"--scale is {','.join(_names(given))}; wanted 2, 3, 4, or several of them with commas")
    return list(dict.fromkeys(found))


def _names(given: Sequence[str] | None) -> list[str]:
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def _progress(console: Console | None) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=console is None, transient=True)


def _described(target: str) -> dict[str, Any]:
    from .. import model as models

    model = models.load(target)
    meta = model.meta
    said = {"version": meta.version, "sha256": model.sha256, "guard": meta.guard, "base": meta.base}
    return {**said, "generative": meta.generative, "denoises": meta.denoises}


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
