"""All inputs of one command: which files, in which series, to which places, by how many threads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .. import dicom
from ..beside import sweep
from ..enhancer import Enhancer
from ..errors import InputError
from ..geometry import RangeCounter
from ..io import kind_of
from . import inputs, report, results
from .ending import INTERRUPTED
from .work import Outcome, Range, Settings, Task, Worker

if TYPE_CHECKING:
    from .volumes import VolumeWorker

DONE, NONE, PARTLY = 0, 1, 3
"""Exit statuses."""

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Group:
    """Files that share one value range: a DICOM series, one file of another kind, or the pictures of a sequence."""

    modality: str
    tasks: tuple[Task, ...]


def threads_for(jobs: int) -> int:
    """Return the CPU threads that each of ``jobs`` pictures may use; 0 leaves it to the Enhancer."""
    return 0 if jobs == 1 else max(1, len(os.sched_getaffinity(0)) // jobs)


def run(
    arguments: Sequence[str],
    out: str,
    enhancer: Enhancer,
    settings: Settings,
    jobs: int,
    volumes: Mapping[int, Enhancer] | None = None,
) -> int:
    """Enhance what the arguments name, and return the exit status.

    With ``volumes`` whole volumes are made isotropic, by these Enhancers along the slice axis.

    Raises
    ------
    UsageError
        OUT does not fit the inputs.
    """
    started = time.perf_counter()
    warnings.simplefilter("ignore")  # libraries quote headers in them
    logging.basicConfig(handlers=[logging.NullHandler()])
    screen = report.Screen()
    single = inputs.is_single(arguments)
    inputs.check_out(out, single)
    try:
        found, skipped = inputs.collect(arguments, _stdin(), Path(out))
        groups, refused = plan(found, out, single, None if volumes else enhancer.scale, enhancer.sequential)
        skipped += refused
        for item in skipped:
            screen.skip(item.path, item.reason)
        worker = Worker(enhancer, settings, threading.Event())
        if volumes is None:
            outcomes = _enhance(groups, worker, jobs, screen)
        else:
            from .volumes import VolumeWorker  # it brings NIfTI, which other files do not need

            outcomes = _isotropic(groups, VolumeWorker(worker, volumes, settings.isotropic or 1), jobs, screen)
    except KeyboardInterrupt:
        screen.say("interrupted: every written file is whole, and the same command does the rest")
        return INTERRUPTED
    outcomes += [Outcome(item.path, "skipped", item.reason) for item in skipped if item.counts]
    report.summary(outcomes, time.perf_counter() - started)
    good = sum(o.state != "skipped" for o in outcomes)
    if not good:
        return NONE
    return DONE if good == len(outcomes) else PARTLY


def _stdin() -> Iterator[str]:
    """Yield the lines of stdin as names of files, in whatever encoding they are."""
    if sys.stdin is not None:
        yield from map(os.fsdecode, sys.stdin.buffer)


def plan(
    found: Sequence[inputs.Input], out: str, single: bool, scale: int | None, sequential: bool = False
) -> tuple[list[Group], list[inputs.Skipped]]:
    """Sort files into groups and give each its place; name what is no picture, and places that clash.

    With ``sequential`` files of a group are in the order of time: those of a DICOM series by their numbers, pictures of
    other kinds that lie in one folder by the numbers in their names.

    Raises
    ------
    UsageError
        OUT is to be a file and has the wrong end.
    """
    kinds, ours, skipped = _kinds(found)
    places = {i.path: inputs.target_of(i, kinds[i.path], scale, out, single) for i in found if i.path in kinds}
    for path in _clashing(places, skipped):
        del places[path], kinds[path]
    targets = {os.path.realpath(p) for p in places.values()}
    for path in ours:
        if os.path.realpath(path) not in targets:
            skipped.append(inputs.Skipped(os.fspath(path), "is itself a result of acutance"))
    series = dicom.find([p for p, kind in kinds.items() if kind == "dicom"])
    skipped += [inputs.Skipped(str(e.path), e.message) for e in series.skipped]
    groups: dict[Path, Group] = {}
    order = {path: i for i, path in enumerate(places)}
    for one in series.series:
        paths = [Path(p) for p in one.paths]
        if not sequential:
            paths.sort(key=order.__getitem__)
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        tasks = tuple(Task(p, places[p], "dicom", f"{paths[0]}{more}") for p in paths)
        groups[paths[0]] = Group(one.modality, tasks)
    folders: dict[Path, list[Task]] = {}
    for path, kind in kinds.items():
        if kind == "dicom":
            continue
        alone = kind == "nifti" or not sequential
        task = Task(path, places[path], kind, os.fspath(path if alone else path.parent))
        folders.setdefault(path if alone else path.parent, []).append(task)
    for pictures in folders.values():
        pictures.sort(key=lambda t: inputs.by_number(t.source.name))
        groups[pictures[0].source] = Group("", tuple(pictures))
    return [groups[p] for p in places if p in groups], skipped


def _kinds(found: Sequence[inputs.Input]) -> tuple[dict[Path, str], list[Path], list[inputs.Skipped]]:
    """Return what each file holds, the results of acutance among them, and those that are no pictures."""
    kinds: dict[Path, str] = {}
    ours, skipped = [], []
    for item in found:
        try:
            kind = kind_of(item.path)
        except InputError as e:
            skipped.append(inputs.Skipped(os.fspath(item.path), e.message))
            continue
        if results.is_result(item.path, kind):
            ours.append(item.path)
        else:
            kinds[item.path] = kind
    return kinds, ours, skipped


def _clashing(places: dict[Path, Path], skipped: list[inputs.Skipped]) -> list[Path]:
    """Return the files whose results would overwrite an input or another result, and say so in ``skipped``."""
    sources = {os.path.realpath(p): p for p in places}
    taken: dict[str, Path] = {}
    clashing = []
    for path, target in places.items():
        real = os.path.realpath(target)
        if real in sources:
            why = f"its result would overwrite the input {sources[real]}"
        elif real in taken:
            why = f"its result would have the name of that of {taken[real]}; enhance it into another folder"
        else:
            taken[real] = path
            continue
        clashing.append(path)
        skipped.append(inputs.Skipped(os.fspath(path), why))
    return clashing


def _enhance(groups: Sequence[Group], worker: Worker, jobs: int, screen: report.Screen) -> list[Outcome]:
    """Enhance all files, first finding the range of each series that needs one."""
    for folder in {task.target.parent for group in groups for task in group.tasks}:
        sweep(folder)
    with _threads(jobs, worker.stop) as pool:
        ranges = _ranges(groups, worker, pool, screen)
        work = [(part, ranges[i]) for i, group in enumerate(groups) for part in _parts(group, worker.enhancer)]
        outcomes: list[list[Outcome]] = [[]] * len(work)
        with screen.progress("enhancing", sum(len(group.tasks) for group in groups)) as bar:
            worker.tell = bar.tell

            def enhance(item: tuple[tuple[Task, ...], Range | None]) -> list[Outcome]:
                if worker.enhancer.sequential:
                    return worker.enhance_in_order(*item, bar.advance)
                ((task,), value_range) = item
                outcome = worker.enhance(task, value_range)
                bar.advance()
                return [outcome]

            for i, found in _each(pool, enhance, work):
                outcomes[i] = found
                for task, outcome in zip(work[i][0], found, strict=True):
                    if outcome.state == "skipped":
                        screen.skip(os.fspath(task.source), outcome.reason)
    return [o for found in outcomes for o in found]


def _parts(group: Group, enhancer: Enhancer) -> list[tuple[Task, ...]]:
    """Return the files that one thread enhances one after the other: one, or those of a sequence."""
    return [group.tasks] if enhancer.sequential else [(task,) for task in group.tasks]


def _isotropic(groups: Sequence[Group], worker: VolumeWorker, jobs: int, screen: report.Screen) -> list[Outcome]:
    """Make the volume of each group isotropic."""
    for folder in {task.target.parent for group in groups for task in group.tasks}:
        sweep(folder)
    outcomes: list[list[Outcome]] = [[] for _ in groups]
    with _threads(jobs, worker.worker.stop) as pool, screen.progress("volumes", len(groups)) as bar:
        worker.worker.tell = bar.tell
        for i, made in _each(pool, lambda group: worker.enhance(group.tasks), groups):
            outcomes[i] = made
            for outcome in made:
                if outcome.state == "skipped":
                    screen.skip(outcome.name, outcome.reason)
            bar.advance()
    return [outcome for made in outcomes for outcome in made]


def _ranges(
    groups: Sequence[Group], worker: Worker, pool: concurrent.futures.Executor, screen: report.Screen
) -> list[Range | None]:
    """Return the robust range of each series whose model asks for one, file by file; never is a series held at once."""
    wanted = [
        (i, task.source)
        for i, group in enumerate(groups)
        if len(group.tasks) > 1 and worker.enhancer.percentiles(group.modality) is not None
        for task in group.tasks
    ]
    counters: dict[int, RangeCounter] = {}
    if wanted:
        with screen.progress("finding value ranges", len(wanted)) as bar:
            for k, counter in _each(pool, lambda x: worker.count(x[1]), wanted):
                if counter is not None:
                    counters.setdefault(wanted[k][0], RangeCounter()).merge(counter)
                bar.advance()
    return [counters[i].range() if i in counters else None for i in range(len(groups))]


@contextlib.contextmanager
def _threads(jobs: int, stop: threading.Event) -> Iterator[concurrent.futures.Executor]:
    """Run a pool; Ctrl-C ends it at the next picture, a second one at once, leaving temporary files to the next run."""
    pool = concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="acutance")
    try:
        yield pool
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        try:
            pool.shutdown(wait=True)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)


def _each(pool: concurrent.futures.Executor, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
    """Yield the number of each item and what the function gives for it, as they are done."""
    futures = {pool.submit(function, item): i for i, item in enumerate(items)}
    for future in concurrent.futures.as_completed(futures):
        yield futures[future], future.result()
