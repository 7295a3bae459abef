"""Which files the user means, and where their results go."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..beside import is_temporary
from ..errors import UsageError
from ..io import SUFFIXES, check_name

STDIN = "-"

_WORD = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
"""An end that is a kind of file, and no part of a number or UID."""


@dataclasses.dataclass(frozen=True)
class Input:
    """A file to be enhanced; ``place`` is its relative path in an output folder, under its own name."""

    path: Path
    place: Path


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A path that is not enhanced, and why; ``counts`` where that makes the work incomplete."""

    path: str
    reason: str
    counts: bool = True


def collect(arguments: Sequence[str], listed: Iterable[str], out: Path) -> tuple[list[Input], list[Skipped]]:
    """Find the files that the arguments name.

    Parameters
    ----------
    arguments : sequence of str
        Files, folders, and ``-`` for the paths that ``listed`` gives.
    listed : iterable of str
        Lines with one path each.
    out : Path
        Where results go: a folder of that name inside a searched one is left out.

    Returns
    -------
    list of Input, list of Skipped
        Every file once, folders in the order of their names.
    """
    found: list[Input] = []
    skipped: list[Skipped] = []
    names: dict[str, Path] = {}
    for argument, base in _places(arguments, listed):
        for item in _expand(Path(argument), base, os.path.realpath(out)):
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            real = os.path.realpath(item.path)
            if real not in names:
                names[real] = item.path
                found.append(item)
            elif names[real] != item.path:
                skipped.append(Skipped(os.fspath(item.path), f"is the same file as {names[real]}", counts=False))
    return found, list(dict.fromkeys(skipped))


def is_single(arguments: Sequence[str]) -> bool:
    """Tell whether the user named one file, so that OUT names one as well."""
    return len(arguments) == 1 and arguments[0] != STDIN and not Path(arguments[0]).is_dir()


def _places(arguments: Sequence[str], listed: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield each named path with the place of its result: a folder's own name is part of it where there are several."""
    for argument in arguments:
        if argument == STDIN:
            lines = (line.rstrip("\r\n") for line in listed)
            yield from ((line, _listed_place(line)) for line in lines if line)
        elif not Path(argument).is_dir():
            yield argument, Path(Path(argument).name)
        elif len(arguments) == 1:
            yield argument, Path()
        else:
            yield argument, Path(Path(argument).resolve().name)


def _listed_place(line: str) -> Path:
    """Return the whole path, without root and ``.``, or only its name where it leads upward."""
    path = Path(line)
    parts = path.parts[1:] if path.is_absolute() else path.parts
    return Path(path.name) if ".." in parts else Path(*parts)


def _expand(path: Path, place: Path, out: str) -> Iterator[Input | Skipped]:
    try:
        mode = path.stat().st_mode
    except OSError as e:
        yield Skipped(os.fspath(path), f"cannot be read ({e.strerror})")
        return
    if stat.S_ISDIR(mode):
        yield from _walk(path, place, out)
    elif stat.S_ISREG(mode):
        yield Input(path, place)
    else:
        yield Skipped(os.fspath(path), "is no regular file")


def _walk(root: Path, place: Path, out: str) -> Iterator[Input | Skipped]:
    """Yield what lies in a folder; links are followed, and a folder that is reached twice is searched once."""
    refused: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=refused.append):
        try:
            about = Path(folder).stat()
        except OSError as e:
            refused.append(e)
            continue
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        if Path(folder) != root and os.path.realpath(folder) == out:
            folders.clear()
            yield Skipped(folder, "it is where the results go", counts=False)
            continue
        folders.sort()
        for name in sorted(files):
            if not is_temporary(name):
                path = Path(folder, name)
                yield from _expand(path, place / path.relative_to(root), out)
    for error in refused:
        yield Skipped(str(error.filename), f"cannot be searched ({error.strerror})")


def by_number(name: str) -> list[tuple[int, str]]:
    """Return what sorts file names by the numbers in them: ``a_9.png`` before ``a_10.png``."""
    return [(int(x) if x.isdecimal() else -1, x) for x in re.split(r"(\d+)", name)]


def result_name(name: str, kind: str, scale: int | None) -> str:
    """Return the name of the result of a file called ``name``: ``_x2`` before its end, JPEG to PNG.

    Without a scale the result is an isotropic volume: ``_iso``.
    """
    mark, lower = "_iso" if scale is None else f"_x{scale}", name.lower()
    ends = SUFFIXES["png"] if kind == "jpeg" else SUFFIXES[kind]
    end = next((name[len(name) - len(s) :] for s in SUFFIXES[kind] if lower.endswith(s)), None)
    if end is not None:
        return f"{name[: -len(end)]}{mark}{ends[0] if kind == 'jpeg' else end}"
    if kind != "dicom":
        return f"{name}{mark}{ends[0]}"
    word = _WORD.search(name)
    if word is None:
        return f"{name}{mark}"
    known = {s for found in SUFFIXES.values() for s in found}
    return f"{name}{mark}.dcm" if word[0].lower() in (*known, ".gz") else f"{name[: word.start()]}{mark}{word[0]}"


def target_of(item: Input, kind: str, scale: int | None, out: str, single: bool) -> Path:
    """Return the path of an input's result.

    Raises
    ------
    UsageError
        OUT is to be a file and has the wrong end for what the input holds.
    """
    if single and not (out.endswith(os.sep) or Path(out).is_dir()):
        check_name(out, kind)
        return Path(out)
    return Path(out) / item.place.parent / result_name(item.place.name, kind, scale)


def check_out(out: str, single: bool) -> None:
    """Raise UsageError when OUT must be a folder and is a file."""
    if not single and Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"{out} is a file; several inputs, or a folder, need a folder")
