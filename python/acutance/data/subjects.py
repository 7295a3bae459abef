"""Whose pictures are whose, under a pseudonym, and in which split each person stands.

A person is a set of series that share a patient, a study or a frame of reference. Nothing of that is kept but keyed
hashes (HMAC-SHA-256, RFC 2104), so that a second build into the same data set knows the people of the first.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import InputError, UsageError
from ..evaluate.scans import SPLITS

Links = frozenset[str]


@dataclasses.dataclass(frozen=True)
class Place:
    """Pseudonym and split of a person."""

    subject: str
    split: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table of splits."""

    number: int
    path: str
    patient: str
    split: str


class Table:
    """The user's own splits: a CSV file with the columns ``path`` and ``patient``, or one of them, and ``split``.

    Parameters
    ----------
    file : Path

    Raises
    ------
    InputError
        It cannot be read, lacks a column, or a line names another split than train, val or test.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open(encoding="utf-8-sig", newline="") as f:
                rows = list(csv.DictReader(f))
        except (OSError, ValueError, csv.Error) as e:
            raise InputError(f"cannot be read as CSV ({type(e).__name__})", file) from None
        self.lines = [self._line(i, row) for i, row in enumerate(rows, 2)]
        self._paths = {os.path.normpath(x.path): x for x in self.lines if x.path}
        self._patients = {x.patient: x for x in self.lines if x.patient and not x.path}
        if not self.lines:
            raise InputError("has no line below its head; wanted the columns path or patient, and split", file)

    def _line(self, number: int, row: Mapping[str | None, str | None]) -> Line:
        path, patient, split = ((row.get(x) or "").strip() for x in ("path", "patient", "split"))
        if split not in SPLITS or not (path or patient):
            raise InputError(
                f"line {number}: wanted a path or a patient, and a split of {', '.join(SPLITS)}", self.file
            )
        return Line(number, path, patient, split)

    def line_of(self, path: Path, root: Path, patient: str) -> Line | None:
        """Return the line that holds for a file: by the longest path, whole or below ``root``, else by patient."""
        for place in (path, *path.parents):
            names = [os.fspath(place), os.path.realpath(place)]
            if place.is_relative_to(root):
                names.append(os.path.normpath(place.relative_to(root)))
            found = next((self._paths[x] for x in names if x in self._paths), None)
            if found is not None:
                return found
        return self._patients.get(patient)


class Fractions:
    """Parts of the people in each split, by the hash of their pseudonym: the same each time.

    Parameters
    ----------
    text : str
        As ``train=0.8,val=0.1,test=0.1``; what is left out is 0.

    Raises
    ------
    UsageError
        It is something else, or the parts do not add up to 1.
    """

    def __init__(self, text: str) -> None:
        parts: dict[str, float] = {}
        for item in text.split(","):
            name, _, value = item.partition("=")
            try:
                parts[name.strip()] = float(value)
            except ValueError:
                parts[name.strip()] = -1.0
        right = set(parts) <= set(SPLITS) and min(parts.values()) >= 0 and abs(sum(parts.values()) - 1) < 1e-6
        if not right:
            raise UsageError(f"--split is '{text}'; wanted train=0.8,val=0.1,test=0.1 (adding up to 1) or a .csv file")
        self._parts = {name: parts.get(name, 0.0) for name in SPLITS}

    def split_of(self, subject: str) -> str:
        """Return the split of a pseudonym."""
        at = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big") / 2**64
        top = 0.0
        for name, part in self._parts.items():
            top += part
            if at < top:
                return name
        return max(self._parts, key=self._parts.__getitem__)  # the sum was a little below 1


def people(links: Sequence[Links]) -> list[int]:
    """Return for each series the number of its person's first one: a shared link makes one person, also by others."""
    first: dict[str, int] = {}
    parent = list(range(len(links)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, found in enumerate(links):
        for link in found:
            a, b = root(first.setdefault(link, i)), root(i)
            parent[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(links))]


def places(
    links: Sequence[Links],
    wanted: Sequence[Line | None],
    there: Iterable[tuple[Links, Place]],
    fractions: Fractions | None,
    table: Path | None,
) -> list[Place | None]:
    """Give every series its person's place.

    Parameters
    ----------
    links : sequence of frozenset of str
        Keyed hashes of patient, study and frame of reference of each series.
    wanted : sequence of Line or None
        The line of the user's table for each series.
    there : iterable of (frozenset, Place)
        Links and place of each series that the data set holds already.
    fractions : Fractions or None
        What decides where there is no line; without it a person whom no line names has no place.
    table : Path or None
        Of the lines, for messages.

    Raises
    ------
    UsageError
        A person would stand in two splits.
    """
    known = list(there)
    owner = people([*(x for x, _ in known), *links])
    members: dict[int, list[Place]] = {}
    lines: dict[int, list[Line]] = {}
    tokens: dict[int, set[str]] = {}
    for i, (found, place) in zip(owner, known, strict=False):
        members.setdefault(i, []).append(place)
        tokens.setdefault(i, set()).update(found)
    for i, found, line in zip(owner[len(known) :], links, wanted, strict=True):
        tokens.setdefault(i, set()).update(found)
        lines.setdefault(i, []).extend([line] if line else [])
    settled = {i: _settle(members.get(i, []), lines.get(i, []), tokens[i], fractions, table) for i in tokens}
    return [settled[i] for i in owner[len(known) :]]


def _settle(
    there: Sequence[Place], lines: Sequence[Line], tokens: set[str], fractions: Fractions | None, table: Path | None
) -> Place | None:
    """Return the place of one person, None where nothing gives one."""
    stands = sorted({(x.split, x.subject) for x in there})
    if len({split for split, _ in stands}) > 1:
        named = " and ".join(f"{subject} ({split})" for split, subject in stands)
        raise UsageError(f"the subjects {named} of the data set are one patient by these files; build it anew")
    asked = {x.split: x for x in lines}
    if len(asked) > 1:
        named = " and ".join(f"{x.number} ({x.split})" for x in sorted(asked.values(), key=lambda x: x.number))
        raise UsageError(f"{table}: lines {named} are about one patient, by id, study or frame of reference")
    for split, line in asked.items():
        if stands and stands[0][0] != split:
            raise UsageError(
                f"{table}: line {line.number} wants {split} for a patient who stands in {stands[0][0]} of the data set"
            )
    if stands:
        return Place(stands[0][1], stands[0][0])
    subject = f"s{min(tokens)[:16]}"
    if asked:
        return Place(subject, next(iter(asked)))
    return None if fractions is None else Place(subject, fractions.split_of(subject))
