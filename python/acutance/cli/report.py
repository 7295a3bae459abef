"""What the user sees: one line for each skipped input, a progress bar, a table."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .ending import one_line

if TYPE_CHECKING:
    from .work import Outcome

LONG = 40
"""Rows up to which the table has one for each series or file; longer ones are summed up by modality and model."""


FILE_WIDTH = 10_000
"""Columns that a table may have where it goes to a file: nothing is broken there."""


class Screen:
    """Progress and messages on stderr; the bar is drawn only on a terminal."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)

    def skip(self, path: str, reason: str) -> None:
        """Name an input that is not enhanced."""
        self.say(f"skipped {path}: {reason}")

    def say(self, text: str) -> None:
        self._console.print(Text(one_line(text)))

    @contextlib.contextmanager
    def progress(self, what: str, total: int) -> Iterator[Bar]:
        """Draw a bar for ``total`` files, if there is a terminal to draw it on."""
        if not self._console.is_terminal:
            yield Bar(None)
            return
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as drawn:
            drawn.add_task(what, total=total)
            yield Bar(drawn)


class Bar:
    """A progress bar, or none."""

    def __init__(self, drawn: Progress | None) -> None:
        self._drawn = drawn

    def advance(self) -> None:
        """Count one file."""
        if self._drawn is not None:
            self._drawn.advance(self._drawn.task_ids[0])

    def tell(self, text: str) -> None:
        """Show what is being worked on."""
        if self._drawn is not None:
            self._drawn.update(self._drawn.task_ids[0], description=one_line(text))


def paper() -> Console:
    """Return what tables are printed on: stdout, wide where it is no terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console


def table(first: str, *heads: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; the first column may break anywhere, ``numbers`` stand to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    made.add_column(first, overflow="fold", min_width=12)
    for head in heads:
        made.add_column(f" {head}", overflow="fold", justify="right" if head in numbers else "left")
    return made


def add_row(made: Table, first: str, *cells: str) -> None:
    """Add a row of plain text."""
    made.add_row(Text(one_line(first)), *(Text(f" {one_line(c)}") for c in cells))


@dataclasses.dataclass(frozen=True)
class _Row:
    name: str
    modality: str
    model: str
    backend: str
    size: str


def summary(outcomes: Sequence[Outcome], seconds: float) -> None:
    """Print the table on stdout, and below it what the user should know of the results."""
    console = paper()
    done = [o for o in outcomes if o.state != "skipped"]
    if done:
        _print_table(console, done)
    for count, note in _notes(done):
        console.print(Text(one_line(f"{note} ({_pictures(count)})")))
    states = collections.Counter(o.state for o in outcomes)
    parts = [f"{states['enhanced']} enhanced", f"{states['kept']} already right", f"{states['skipped']} skipped"]
    console.print(f"{', '.join(parts)}, in {seconds:.1f} s")


def _print_table(console: Console, done: Sequence[Outcome]) -> None:
    rows: dict[_Row, list[Outcome]] = {}
    for outcome in done:
        rows.setdefault(_row(outcome, outcome.name), []).append(outcome)
    if len(rows) > LONG:
        rows = {}
        for outcome in done:
            rows.setdefault(_row(outcome, ""), []).append(outcome)
    heads = ("modality", "count", "pixels", "model", "backend", "ms", "result")
    made = table("input", *heads, numbers=("count", "ms"))
    for row, found in rows.items():
        pictures = sum(o.pictures for o in found)
        name = row.name or (f"{len(found)} files" if len(found) > 1 else "1 file")
        spent = [o.milliseconds for o in found if o.state == "enhanced"]
        worked = sum(o.pictures for o in found if o.state == "enhanced")
        each = f"{sum(spent) / worked:.0f}" if worked else ""
        states = collections.Counter(o.state for o in found)
        result = ", ".join(
            f"{'already right' if k == 'kept' else k}{f' {n}' if len(states) > 1 else ''}" for k, n in states.items()
        )
        add_row(made, name, row.modality, str(pictures), row.size, row.model, row.backend, each, result)
    console.print(made, soft_wrap=False)


def _row(outcome: Outcome, name: str) -> _Row:
    return _Row(name, outcome.modality, outcome.model, outcome.backend, outcome.size if name else "")


def _notes(done: Iterable[Outcome]) -> list[tuple[int, str]]:
    """Return why pictures are their base, and warnings, each once with the number of pictures."""
    found: collections.Counter[str] = collections.Counter()
    for outcome in done:
        found.update(outcome.notes)
    return [(n, note) for note, n in found.items()]


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
