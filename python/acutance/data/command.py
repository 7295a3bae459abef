"""``acutance data``: data sets for training."""

from __future__ import annotations

import collections
import logging
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ..cli.ending import one_line
from ..cli.report import Screen, add_row, paper, table
from ..evaluate.scans import SPLITS
from ..evaluate.shards import Shard
from . import build as builds
from . import sources
from .subjects import Fractions, Table

DONE, NONE, PARTLY = 0, 1, 3
"""Exit statuses."""

FRACTIONS = "train=0.8,val=0.1,test=0.1"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Data sets for training, of your own scans.")


@app.callback()
def _group() -> None:
    """Make ``build`` a command of its own, though it is the only one."""


@app.command()
def build(
    folders: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER...", help="Folders (searched to any depth) and files.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DATASET", help="A new folder, or a data set that was built before."),
    ],
    source: Annotated[str, typer.Option(help="Where the scans come from, for the manifest; no person's name.")],
    licence: Annotated[str, typer.Option(help="Under which licence or agreement they are used, for the manifest.")],
    split: Annotated[
        str,
        typer.Option(
            help="Parts of the people, drawn by their hash; or a .csv file with the columns path or patient, and split."
        ),
    ] = FRACTIONS,
    modality: Annotated[
        str | None,
        typer.Option(help="CT, MR, XR, US, ENDO, PET, NM or a DICOM code: of files that are no DICOM."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="File of the key of the pseudonyms; default: .acutance.key in the first FOLDER."),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Pixels of one input file, more are refused; 2^28 when not given.")
    ] = None,
) -> None:
    """Make a data set of DICOM, NIfTI, PNG, TIFF and JPEG files, or add to one.

    Localisers, derived and secondary images are left out, headers too; people become pseudonyms, and each stands in one
    split. What is there already is kept, so that a build that was interrupted goes on.

    Exit status: 0 all done, 3 some inputs could not be taken, 1 none could, 2 wrong usage, 130 interrupted.
    """
    started = time.perf_counter()
    warnings.simplefilter("ignore")  # libraries quote headers in them
    logging.basicConfig(handlers=[logging.NullHandler()])
    listed = Table(Path(split)) if split.lower().endswith(".csv") else None
    wanted = builds.Wanted(
        tuple(folders),
        output,
        source,
        licence,
        None if listed else Fractions(split),
        listed,
        key,
        sources.modality_named(modality),
        max_pixels,
    )
    report = builds.build(wanted, Screen())
    _summary(wanted, report, time.perf_counter() - started)
    bad = any(x.bad for x in report.left)
    if not report.written and not report.kept:
        raise typer.Exit(NONE)
    raise typer.Exit(PARTLY if bad else DONE)


def _summary(wanted: builds.Wanted, report: builds.Report, seconds: float) -> None:
    """Print what the data set holds, why series were left out, and where the key is."""
    console = paper()
    found: dict[tuple[str, str], list[Shard]] = {}
    for shard in report.shards.values():
        found.setdefault((shard.modality, shard.split), []).append(shard)
    counted = ("series", "subjects", "slices", "truths")
    made = table("modality", "split", *counted, numbers=counted)
    for (modality, split), shards in sorted(found.items(), key=lambda x: (x[0][0], SPLITS.index(x[0][1]))):
        subjects, slices = len({x.subject for x in shards}), sum(x.shape[0] for x in shards)
        truths = sum(len(x.truths) for x in shards)
        add_row(made, modality, split, str(len(shards)), str(subjects), str(slices), str(truths))
    if found:
        console.print(made, soft_wrap=False)
    for why, count in collections.Counter(x.reason for x in report.left).most_common():
        console.print(f"left out {count}: {one_line(why)}")
    for modality in sorted({m for m, _ in found}):
        empty = [s for s in SPLITS if (modality, s) not in found]
        if empty:
            where = " and ".join(empty)
            console.print(f"{modality} has no subject in {where}; a .csv file for --split says who goes where")
    counts = f"{report.written} series written, {report.kept} already there, {len(report.left)} left out"
    console.print(f"{counts}, in {seconds:.1f} s")
    if report.shards:
        console.print(
            f"the key of the pseudonyms is {wanted.key_path}: keep it with the source and never with the data set;"
            " thrown away, nobody can tell who is who, and nothing can be added"
        )
