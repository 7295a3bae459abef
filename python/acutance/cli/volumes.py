"""Whole volumes: thick slices in, isotropic voxels out (``--isotropic``)."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .. import dicom, io, mend, volume
from ..beside import beside, make_folder
from ..enhancer import Enhancer
from ..errors import InputError, OutputError, why_skipped
from ..files import nifti, record
from ..geometry import Array, Derivation, Frame, refined_spacing
from . import results
from .work import Outcome, Stopped, Task, Worker, check_derivable


@dataclasses.dataclass(frozen=True, eq=False)
class _Volume:
    """One volume of a group of files.

    Attributes
    ----------
    frames : tuple of Frame
        In the order of their places.
    places : ndarray
        mm along the axis of the stack.
    thickness : float or None
    """

    frames: tuple[Frame, ...]
    places: Array
    thickness: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """What is to be made of a volume."""

    stack: volume.Stack
    grid: volume.Grid
    derivations: list[Derivation]
    near: Array


class VolumeWorker:
    """Makes volumes isotropic; several threads may do so at once.

    Parameters
    ----------
    worker : Worker
        Its enhancer enlarges the slices themselves where ``scale`` is not 1.
    enhancers : mapping of int to Enhancer
        What runs the passes along the slice axis, by scale.
    scale : int
        By which new voxels are smaller than the old pixels.
    """

    def __init__(self, worker: Worker, enhancers: Mapping[int, Enhancer], scale: int) -> None:
        self.worker, self.enhancers, self.scale = worker, enhancers, scale

    def enhance(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Make the volume of a series, or each volume of its multi-frame objects, isotropic."""
        try:
            loaded = [self._read(t) for t in tasks]
        except Stopped:
            raise
        except Exception as e:
            return [Outcome(tasks[0].name, "skipped", why_skipped(e, tasks[0].source))]
        parts: list[tuple[Sequence[Task], list[Frame]]] = [(tasks, [f for frames in loaded for f in frames])]
        if len(tasks) > 1 and any(len(frames) > 1 for frames in loaded):
            parts = [((task,), frames) for task, frames in zip(tasks, loaded, strict=True)]
        return [self._outcome(*part) for part in parts]

    def _outcome(self, tasks: Sequence[Task], frames: list[Frame]) -> Outcome:
        try:
            return self._volume(tasks, frames)
        except Stopped:
            raise
        except Exception as e:
            return Outcome(tasks[0].name, "skipped", why_skipped(e, tasks[0].source))

    def _read(self, task: Task) -> list[Frame]:
        if self.worker.stop.is_set():
            raise Stopped
        if task.kind not in ("dicom", "nifti"):
            raise InputError("is no volume; --isotropic takes DICOM series, multi-frame objects and NIfTI", task.source)
        settings = self.worker.settings
        frames = io.read(task.source, settings.modality, settings.max_pixels)
        if task.kind == "dicom":
            check_derivable(frames[0], self.scale, settings, task.source)
        return settings.missing.lines(frames, task.source)

    def _volume(self, tasks: Sequence[Task], frames: list[Frame]) -> Outcome:
        settings, first = self.worker.settings, tasks[0]
        found = list(_volumes(frames, settings.missing.fill))
        plans = [self._plan(v) for v in found]
        grid = plans[0].grid
        about = Outcome(first.name, "kept", modality=frames[0].modality)
        rows, cols = (n * self.scale for n in frames[0].pixels.shape[:2])
        about = dataclasses.replace(about, size=f"{cols} x {rows} x {grid.count}", pictures=grid.count * len(plans))
        notes = [n for f in frames for n in settings.missing.notes(f)]
        notes += [*_squareness(frames[0]), *(n for p in plans for n in p.grid.notes())]
        if all(p.grid.isotropic for p in plans):
            for task in tasks:
                _pass_on(task, settings.overwrite)
            said = f"is isotropic within 5 % already ({grid.distance:.4g} mm) and passed on as it is"
            return dataclasses.replace(about, model="none", notes=(*notes, said), pictures=len(frames))
        targets = self._targets(tasks, grid.count)
        made = [d for p in plans for d in p.derivations]
        about = dataclasses.replace(
            about,
            model=", ".join(dict.fromkeys(d.model for d in made)),
            backend=", ".join(dict.fromkeys(d.backend for d in made)),
        )
        located = dicom.locate(found[0].frames) if first.kind == "dicom" else None
        if not settings.overwrite:
            if self._is_right(targets, found, made, located):
                return dataclasses.replace(about, notes=tuple(notes))
            for target in targets:
                if target.exists() and not results.is_result(target):
                    raise OutputError(f"{target} is there and not from acutance; --overwrite replaces it")
        make_folder(targets[0].parent)
        spent, new = 0.0, list[Frame]()
        for one, plan in zip(found, plans, strict=True):
            frames_of, milliseconds, said_of = self._make(first, one, plan)
            spent, new, notes = spent + milliseconds, [*new, *frames_of], [*notes, *said_of]
        if located is not None:
            self._write_dicom(targets, located, new, plans[0])
        else:
            nifti.write(targets[0], _counted(new), (grid.count, grid.step / _distance(found[0].frames[0])))
        return dataclasses.replace(about, state="enhanced", milliseconds=spent, notes=tuple(notes))

    def _plan(self, one: _Volume) -> _Plan:
        stack = volume.gathered(one.frames, one.places, one.thickness)
        spacing = refined_spacing(stack.spacing, self.scale)
        grid = volume.plan(one.places, one.thickness, min(spacing))
        planned = volume.derivation(dataclasses.replace(stack, spacing=spacing), grid, self.enhancers, self.scale)
        derivations = volume.derivations(planned, grid, one.places, one.frames)
        return _Plan(stack, grid, derivations, volume.nearest(grid, one.places))

    def _targets(self, tasks: Sequence[Task], count: int) -> list[Path]:
        """Return the place of each file: numbered ones for a series of single-frame objects."""
        target = tasks[0].target
        if len(tasks) == 1:
            return [target]
        width = max(4, len(str(count)))
        return [target.with_name(f"{target.stem}_{i + 1:0{width}}{target.suffix}") for i in range(count)]

    def _is_right(
        self,
        targets: Sequence[Path],
        found: Sequence[_Volume],
        made: Sequence[Derivation],
        located: dicom.Located | None,
    ) -> bool:
        if located is None:
            source = found[0].frames[0].source
            wanted = record.Record(source.header.sha256 if source else "", tuple(made))
            return targets[0].exists() and nifti.read_record(targets[0]) == wanted
        uids = dicom.stack_uids(located, made)
        compress = self.worker.settings.compress
        return all(results.has_uid(t, uid, compress) for t, uid in zip(targets, uids, strict=True))

    def _make(self, task: Task, one: _Volume, plan: _Plan) -> tuple[list[Frame], float, list[str]]:
        """Compute the new slices of one volume."""
        frames, notes, spent = list(one.frames), list[str](), 0.0
        stack = plan.stack
        if self.scale > 1:
            for k, frame in enumerate(frames):
                self._tell(task, f"slice {k + 1}/{len(frames)}")
                result = self.worker.enhancer.run(dataclasses.replace(frame, value_range=stack.value_range))
                frames[k], spent = result.frame, spent + result.milliseconds
                notes += [*((result.fell_back,) if result.fell_back else ()), *result.warnings]
            stack = dataclasses.replace(
                volume.gathered(frames, one.places, one.thickness), value_range=stack.value_range
            )
        started = time.perf_counter()
        made = volume.isotropic(
            stack, plan.grid, self.enhancers, lambda i, n: self._tell(task, f"picture {i + 1}/{n} across")
        )
        notes += made.warnings
        notes.append(
            f"the new slices average to the old ones within {made.deviation[0]:.3g}, {made.deviation[1]:.3g} rms, "
            "before they are rounded"
        )
        new = volume.stored(made.voxels, made.missing, frames, plan.derivations, [int(k) for k in plan.near])
        return new, spent + 1000 * (time.perf_counter() - started), list(dict.fromkeys(notes))

    def _tell(self, task: Task, text: str) -> None:
        if self.worker.stop.is_set():
            raise Stopped
        self.worker.tell(f"{task.source.name} {text}")

    def _write_dicom(self, targets: Sequence[Path], located: dicom.Located, new: list[Frame], plan: _Plan) -> None:
        settings, grid = self.worker.settings, plan.grid
        derived = dicom.derive_stack(
            located,
            new,
            [int(k) for k in plan.near],
            grid.targets,
            grid.step,
            compress=settings.compress,
            allow_burned_in=settings.allow_burned_in,
        )
        for target, made in zip(targets, derived, strict=True):
            dicom.write(target, made)


def _volumes(frames: list[Frame], fill: bool) -> Iterator[_Volume]:
    """Yield the volumes of Frames: one of DICOM, each point in time of NIfTI; blank slices are missing ones."""
    source = frames[0].source
    assert source is not None
    if source.kind == "dicom":
        located = dicom.locate(frames)
        yield _Volume(located.frames, located.places, located.thickness)
        return
    length, distance = source.header.shape[source.header.axis], _distance(frames[0])
    for start in range(0, len(frames), length):
        one = frames[start : start + length]
        gone = set(mend.dropped(one)) if fill else set()
        kept = [k for k in range(length) if k not in gone]
        yield _Volume(tuple(one[k] for k in kept), distance * np.array(kept, float), None)


def _distance(frame: Frame) -> float:
    assert frame.source is not None
    found = nifti.distance(frame.source.header)
    if found is None:
        raise InputError("does not say how far its slices are apart", frame.source.path)
    return found


def _counted(frames: Sequence[Frame]) -> Iterator[Frame]:
    for i, frame in enumerate(frames):
        assert frame.source is not None
        yield dataclasses.replace(frame, source=dataclasses.replace(frame.source, index=i))


def _squareness(frame: Frame) -> list[str]:
    if frame.spacing is None or abs(frame.spacing[0] / frame.spacing[1] - 1) <= volume.SAME:
        return []
    rows, cols = frame.spacing
    return [f"pixels of {rows:.4g} x {cols:.4g} mm are not square and stay so: slices take the smaller side"]


def _pass_on(task: Task, overwrite: bool) -> None:
    """Copy a file as it is."""
    same = task.target.exists() and task.target.read_bytes() == task.source.read_bytes()
    if same:
        return
    if task.target.exists() and not overwrite and not results.is_result(task.target):
        raise OutputError(f"{task.target} is there and not from acutance; --overwrite replaces it")
    make_folder(task.target.parent)
    with task.source.open("rb") as source, beside(task.target) as file:
        shutil.copyfileobj(source, file)
