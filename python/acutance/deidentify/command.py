"""``acutance deidentify``: DICOM files without what tells whose they are."""

from __future__ import annotations

import enum
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .. import io
from ..beside import make_folder
from ..cli import batch, inputs
from ..cli.ending import INTERRUPTED
from ..cli.report import Screen, paper
from ..dicom import MAX_PIXELS, write
from ..errors import AcutanceError, InputError, OutputError, UsageError
from .burned_in import Rectangle
from .key import KEY_NAME, Key, place_of
from .objects import Settings, deidentify, is_ours, place
from .profile import Retain

app = typer.Typer(add_completion=False)


class Compression(str, enum.Enum):
    jpeg2000 = "jpeg2000"
    rle = "rle"


@app.command()
def command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files and folders (searched to any depth).", show_default=False),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file for one input file; a folder, made if need be, for several or for a folder. In it files lie "
            "by pseudonym and new UIDs: names of folders and files often name people.",
            show_default=False,
        ),
    ],
    key: Annotated[
        Path | None,
        typer.Option(help="File of the key of the pseudonyms, made if need be; default: .acutance.key beside INPUT."),
    ] = None,
    retain: Annotated[
        list[Retain] | None,
        typer.Option(
            help="Keep more, by an option of the profile; may be given again. dates: Retain Longitudinal Temporal "
            "Information Full Dates (113106); shifted-dates: Modified Dates (113107), all of a patient moved back by "
            "the same days; patient: Patient Characteristics (113108); device: Device Identity (113109); uids: UIDs "
            "(113110); institution: Institution Identity (113112).",
            show_default=False,
        ),
    ] = None,
    blank: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW,COL,ROWS,COLS",
            help="Blank this part of every picture, in pixels from the upper left; may be given again.",
            show_default=False,
        ),
    ] = None,
    allow_burned_in: Annotated[
        bool,
        typer.Option("--allow-burned-in", help="Take pictures whose pixels may name a person: you have looked."),
    ] = False,
    compress: Annotated[
        Compression | None, typer.Option(help="Lossless compression of the pixels; none when not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are not ours.")] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Pixels of one input file, more are refused.", show_default="2^28")
    ] = MAX_PIXELS,
) -> None:
    """Take out of DICOM images what tells whose they are (PS3.15, Basic Application Level Confidentiality Profile).

    The same key makes the same pseudonyms and UIDs, so that files of a patient stay together. Pixels outside of
    ultrasound regions are blanked; captured screens are refused unless told otherwise. Faces, and text in other
    pictures, are not looked for. Structured reports, documents and other objects that are no images are refused.

    Exit status: 0 all done, 3 some inputs were refused, 1 all were, 2 wrong usage, 130 interrupted.
    """
    started = time.perf_counter()
    warnings.simplefilter("ignore")  # libraries quote headers in them
    logging.basicConfig(handlers=[logging.NullHandler()])
    retained = tuple(retain or ())
    if {Retain.dates, Retain.shifted_dates} <= set(retained):
        raise UsageError("--retain dates and --retain shifted-dates exclude each other; give one")
    parts = tuple(Rectangle.parse(x) for x in blank or ())
    single = inputs.is_single(arguments)
    inputs.check_out(output, single)
    at = place_of(arguments, key)
    if not single and at.resolve().is_relative_to(Path(output).resolve()):
        raise UsageError(f"{at}: the key must not lie with the results, which it would give away; name another --key")
    settings = Settings(
        Key(at) if at.exists() else Key.make(at),
        retained,
        parts,
        allow_burned_in,
        compress.value if compress else None,
        max_pixels,
    )
    found, skipped = inputs.collect(arguments, [], Path(output))
    work = _Work(settings, output, single and not (output.endswith("/") or Path(output).is_dir()), overwrite)
    refused = _run(work, [x.path for x in found if x.path.name != KEY_NAME], skipped, Screen())
    console = paper()
    console.print(f"{len(work.written)} de-identified, {refused} refused, in {time.perf_counter() - started:.1f} s")
    console.print(f"the key of the pseudonyms is {at}: never give it away with the results")
    raise typer.Exit(batch.NONE if not work.written else batch.PARTLY if refused else batch.DONE)


def _run(work: _Work, paths: Sequence[Path], skipped: Sequence[inputs.Skipped], screen: Screen) -> int:
    """De-identify files, name those that are refused, and return how many."""
    for one in skipped:
        screen.skip(one.path, one.reason)
    refused = sum(x.counts for x in skipped)
    try:
        with screen.progress("de-identifying", len(paths)) as bar:
            for path in paths:
                bar.tell(path.name)
                try:
                    work.one(path)
                except (AcutanceError, MemoryError) as e:
                    screen.skip(str(path), _why(e, path))
                    refused += 1
                bar.advance()
    except KeyboardInterrupt:
        screen.say("interrupted: every written file is whole, and the same command does all again")
        raise typer.Exit(INTERRUPTED) from None
    return refused


class _Work:
    """What has been written where."""

    def __init__(self, settings: Settings, out: str, single: bool, overwrite: bool) -> None:
        self.settings, self.out, self.single, self.overwrite = settings, Path(out), single, overwrite
        self.written: dict[Path, Path] = {}

    def one(self, path: Path) -> None:
        """De-identify one file.

        Raises
        ------
        InputError
            It is no image that may be de-identified, or holds the same object as an earlier one.
        OutputError
            It cannot be written, or another file stands there.
        """
        kind = io.kind_of(path)
        if kind != "dicom":
            raise InputError(f"is {kind.upper()}; only DICOM is de-identified", path)
        made = deidentify(path, self.settings)
        target = self.out if self.single else self.out / place(made)
        if target in self.written:
            raise InputError(f"holds the same object as {self.written[target]}", path)
        if target.exists() and target.samefile(path):
            raise OutputError("is the input itself, which stays as it is; name another place", target)
        if target.exists() and not self.overwrite and not is_ours(target, made):
            raise OutputError("is there and another file; --overwrite replaces it", target)
        make_folder(target.parent)
        write(target, made)
        self.written[target] = path


def _why(error: Exception, path: Path) -> str:
    if isinstance(error, AcutanceError):
        return error.message if error.path in (None, str(path)) else str(error)
    return "needs more memory than there is"
