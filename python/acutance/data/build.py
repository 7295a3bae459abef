"""One build: find, place, write, and say what became of every file."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from .. import io
from ..beside import make_folder, reason, sweep
from ..cli.report import Screen
from ..deidentify.key import Key, place_of
from ..errors import InputError, OutputError, UsageError
from ..evaluate import shards
from ..evaluate.shards import Shard
from ..geometry import Frame
from . import pixels, sources, subjects, write
from .sources import Item, Left
from .subjects import Fractions, Place, Table


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes
    ----------
    folders : tuple of str
        Folders and files.
    out : Path
    source, licence : str
        Written beside every series.
    fractions : Fractions or None
    table : Table or None
        One of the two.
    key : Path or None
        Where the key lies or is to lie; None: beside the first source.
    modality : str or None
        Of the protocol, for files that do not say theirs.
    max_pixels : int or None
    """

    folders: tuple[str, ...]
    out: Path
    source: str
    licence: str
    fractions: Fractions | None = None
    table: Table | None = None
    key: Path | None = None
    modality: str | None = None
    max_pixels: int | None = None

    @property
    def key_path(self) -> Path:
        """Where the key lies or is to lie."""
        return place_of(self.folders, self.key)


@dataclasses.dataclass
class Report:
    """What a build did.

    Attributes
    ----------
    left : list of Left
    written, kept : int
        Series that were written, and that were there already.
    shards : dict
        All series of the data set by the path of their slices.
    """

    left: list[Left]
    shards: dict[Path, Shard]
    written: int = 0
    kept: int = 0


class _Duplicate(InputError):
    """A series whose slices are there already."""


def build(wanted: Wanted, screen: Screen) -> Report:
    """Build a data set, or go on with one.

    Raises
    ------
    UsageError
        A person would stand in two splits, the key is another one's, or the folder is no data set's.
    InputError
        What the data set holds already, or the key, cannot be read.
    OutputError
        The data set cannot be written.
    """
    make_folder(wanted.out)
    with _alone(wanted.out):
        there = _there(wanted.out)
        key = _key(wanted, there.values())
        items, left = sources.find(wanted.folders, wanted.out, key, wanted.table, wanted.modality)
        for one in left:
            screen.skip(one.title, one.reason)
        known = [(frozenset(x.links), Place(x.subject, x.split)) for x in there.values()]
        named = wanted.table.file if wanted.table else None
        placed = subjects.places([i.links for i in items], [i.line for i in items], known, wanted.fractions, named)
        report = Report(left, there)
        with screen.progress("building", len(items)) as bar:
            for item, place in zip(items, placed, strict=True):
                bar.tell(Path(item.paths[0]).name)
                for one in _put(wanted, key, item, place, report):
                    screen.skip(one.title, one.reason)
                    left.append(one)
                bar.advance()
        if report.shards:
            write.index(wanted.out, report.shards)
    return report


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other builds out of the folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as e:
        raise OutputError(f"cannot be opened: {reason(e)}", folder) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(f"{folder}: another build is at work there; wait for its end") from None
    finally:
        os.close(handle)


def _there(folder: Path) -> dict[Path, Shard]:
    """Return the series that a data set holds; remove what an interrupted build left half-written."""
    for place in (folder, *folder.glob("*/*/")):
        sweep(place)
    found = {p.with_suffix(shards.SUFFIX): shards.describe(p) for p in sorted(folder.glob("*/*/*.json"))}
    if not found and (folder / write.MANIFEST).exists():
        raise UsageError(f"{folder} holds another kind of data set; wanted a new folder, or one that was built before")
    return found


def _key(wanted: Wanted, there: Collection[Shard]) -> Key:
    """Read the key, or make one for a new data set."""
    path = wanted.key_path
    if not path.exists():
        if there:
            raise UsageError(f"{path} is missing, and {wanted.out} was built with a key; name it with --key")
        return Key.make(path)
    key = Key(path)
    if any(x.key != key.mark() for x in there):
        raise UsageError(f"{path} is another key than {wanted.out} was built with; name that one with --key")
    return key


def _put(wanted: Wanted, key: Key, item: Item, place: Place | None, report: Report) -> list[Left]:
    """Write one series unless it is there; return what of it was left out."""
    if place is None:
        return [Left(item.title, "is named by no line of the table of splits", True)]
    path = wanted.out / item.modality / place.subject / f"{item.name}{shards.SUFFIX}"
    there = report.shards.get(path)
    if there is not None and there.made_from == item.made_from and path.is_file():
        report.kept += 1
        if (there.source, there.licence) != (wanted.source, wanted.licence):
            report.shards[path] = there.model_copy(update={"source": wanted.source, "licence": wanted.licence})
            write.description(path, report.shards[path])
        return []
    left: list[Left] = []
    try:
        frames = _read(item, wanted.max_pixels, left)
        if frames:
            report.shards[path] = _make(wanted, key, item, place, frames, path, report, partly=bool(left))
            report.written += 1
    except _Duplicate as e:
        left.append(Left(item.title, e.message, False))
    except InputError as e:
        left.append(Left(item.title, e.message, True))
    except MemoryError:
        left.append(Left(item.title, "needs more memory than there is", True))
    return left


def _read(item: Item, max_pixels: int | None, left: list[Left]) -> list[Frame]:
    """Read the files of a series; those that cannot be read are left out."""
    frames: list[Frame] = []
    for path in item.paths:
        try:
            frames += io.read(path, max_pixels=max_pixels)
        except InputError as e:
            left.append(Left(path, e.message, True))
    return frames


def _make(
    wanted: Wanted,
    key: Key,
    item: Item,
    place: Place,
    frames: list[Frame],
    path: Path,
    report: Report,
    *,
    partly: bool,
) -> Shard:
    """Prepare and write a series; one that lacks files is made again by the next build, which may find them mended."""
    prepared = pixels.prepare(frames, item.modality)
    said = write.described(prepared, item, place, key, frames)
    for other, shard in report.shards.items():
        if shard.content == said.content and other != path:
            what = "its subject" if shard.subject == place.subject else f"subject {shard.subject}"
            raise _Duplicate(f"holds the same slices as another series, of {what}")
    about = {"source": wanted.source, "licence": wanted.licence, "made_from": "" if partly else item.made_from}
    return write.series(path, prepared.slices, said.model_copy(update=about))
