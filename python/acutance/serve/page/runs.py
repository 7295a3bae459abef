"""A series enhanced in one way: slice by slice as they are looked at, or all of them into files."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ... import io
from ...degrade.grid import area_mean
from ...dicom import check
from ...enhancer import Enhancer, Result
from ...errors import AcutanceError, InputError
from ...geometry import Frame, RangeCounter, luma
from .kept import Kept
from .series import Reader, Series

Map = Literal["residual", "consistency", "uncertainty"]

ENDS = {"dicom": ".dcm", "nifti": ".nii.gz", "png": ".png", "tiff": ".tif", "jpeg": ".png"}
"""How results are named, by the kind of their sources."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    state : str
        ``"ready"`` (slices are made as they are asked for), ``"reading"`` (the range of values of the series),
        ``"working"``, ``"done"``, ``"stopped"`` or ``"failed"``.
    done, total : int
        Slices read or enhanced.
    error : str, optional
        Why it failed, or what was left out.
    """

    state: Literal["ready", "reading", "working", "done", "stopped", "failed"]
    done: int
    total: int
    error: str | None = None


class Run:
    """One way to enhance one series.

    Parameters
    ----------
    series : Series
    reader : Reader
    enhancer, base : Enhancer
        ``base`` has the same scale, no network and no guard.
    results : Kept
        Shared by all runs.
    turn : threading.Lock
        Held while a slice is enhanced, so that only one is at a time.
    folder : Path
        Private, for the files of the whole series.
    """

    def __init__(
        self,
        series: Series,
        reader: Reader,
        enhancer: Enhancer,
        base: Enhancer,
        results: Kept[Result],
        turn: threading.Lock,
        folder: Path,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.series, self.enhancer = series, enhancer
        self._reader, self._base, self._results, self._turn, self._folder = reader, base, results, turn, folder
        self._range: tuple[float, float] | None = None
        self._ranging, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._progress = Progress("ready", 0, len(series.slices))

    @property
    def progress(self) -> Progress:
        return self._progress

    def frame(self, number: int) -> Frame:
        """Return a slice with the range of values of its series, as it is handed to the network."""
        frame = self._reader.frame(self.series, number)
        if len(self.series.paths) == 1 or self.enhancer.percentiles(frame.modality) is None:
            return frame  # the frames of one file share their range already
        return dataclasses.replace(frame, value_range=self._value_range())

    def result(self, number: int) -> Result:
        """Return a slice enhanced.

        Raises
        ------
        AcutanceError
            It cannot be read or enhanced.
        """
        found = self._results.get((self.id, number))
        if found is None:
            frame = self.frame(number)
            with self._turn:
                found = self._results.get((self.id, number)) or self.enhancer.run(frame)
                self._results.put((self.id, number), found, _size(found))
        return found

    def map(self, number: int, kind: Map) -> NDArray[np.float32]:
        """Return what is laid over a slice, in real values; 0 where samples are missing.

        ``residual`` is what the network adds to the base, ``[rows * s, cols * s]``; ``consistency`` the mean of each
        block of the result less the input pixel, ``[rows, cols]``; ``uncertainty`` half the width of the interval that
        holds 90 of 100 true values, ``[rows * s, cols * s]``. Colour counts as luma.

        Raises
        ------
        InputError
            The model gives no bounds.
        """
        frame, result = self.frame(number), self.result(number)
        if kind == "uncertainty":
            if result.lower is None or result.upper is None:
                raise InputError(f"{result.model} does not say how sure it is: it has no quantiles")
            found = (_gray(result.upper) - _gray(result.lower)) * np.float32(abs(frame.slope) / 2)
            return np.asarray(np.nan_to_num(found), np.float32)
        missing = frame.missing()
        if kind == "consistency":
            scale = result.frame.rows // frame.rows
            found = (area_mean(_gray(result.pixels), scale) - _gray(frame.pixels)) * np.float32(frame.slope)
        else:
            with self._turn:
                base = self._base.run(frame)
            found = (_gray(result.pixels) - _gray(base.pixels)) * np.float32(frame.slope)
            if missing is not None:
                scale = result.frame.rows // frame.rows
                missing = missing.repeat(scale, 0).repeat(scale, 1)
        if missing is not None:
            found[missing] = 0
        return np.ascontiguousarray(np.nan_to_num(found), np.float32)

    def file(self, number: int, target: Path) -> Path:
        """Write the result of the file that holds a slice, and return its path.

        Parameters
        ----------
        number : int
        target : Path
            Without its end.

        Raises
        ------
        AcutanceError
        """
        path = self.series.slices[number][0]
        return self._write(path, target)

    def start(self) -> None:
        """Begin to enhance the whole series into files, unless that is under way or done."""
        if self._thread is not None and (self._thread.is_alive() or self._progress.state == "done"):
            return
        self._stop.clear()
        self._progress = Progress("working", 0, len(self.series.slices))
        self._thread = threading.Thread(target=self._all, name="page run", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 0.0) -> None:
        """Let the work end after the slice that is under way; wait for it ``timeout`` seconds at most."""
        self._stop.set()
        if self._thread is not None and timeout:
            self._thread.join(timeout)

    def close(self) -> None:
        """Let go of everything."""
        self.stop()
        self._results.forget(self.id)

    def archive(self) -> Path | None:
        """Return the ZIP file of the whole series, None before it is done."""
        path = self._folder / f"{self.id}.zip"
        return path if self._progress.state == "done" and path.is_file() else None

    def _value_range(self) -> tuple[float, float]:
        with self._ranging:
            if self._range is None:
                counter, before = RangeCounter(), self._progress
                for number in range(len(self.series.slices)):
                    self._progress = Progress("reading", number, len(self.series.slices))
                    try:
                        counter.add(self._reader.frame(self.series, number))
                    except InputError:
                        continue  # it is named when it is looked at
                self._range, self._progress = counter.range(), before
            return self._range

    def _all(self) -> None:
        """Enhance and pack all files; what cannot be done is counted, and the rest goes on."""
        left: list[str] = []
        packed = self._folder / f"{self.id}.zip"
        try:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
                for n, path in enumerate(self.series.paths, 1):
                    try:
                        made = self._write(path, self._folder / f"{self.id}-{n:04}", count=True)
                    except AcutanceError as e:
                        left.append(e.message)
                        continue
                    archive.write(made, f"{n:04}{ENDS[self.series.kind]}")
                    made.unlink()
            count = len(self.series.slices)
            if len(left) == len(self.series.paths):
                self._progress = Progress("failed", count, count, left[0])
            else:
                said = f"{len(left)} of {len(self.series.paths)} files left out: {left[0]}" if left else None
                self._progress = Progress("done", count, count, said)
        except _Stopped:
            self._progress = dataclasses.replace(self._progress, state="stopped")
        except OSError as e:
            self._progress = dataclasses.replace(self._progress, state="failed", error=e.strerror or type(e).__name__)
        finally:
            if self._progress.state != "done":
                packed.unlink(missing_ok=True)

    def _write(self, path: Path, target: Path, count: bool = False) -> Path:
        """Write the result of one file; ``count`` shows the progress and heeds :meth:`stop`."""
        numbers = [i for i, (one, _) in enumerate(self.series.slices) if one == path]
        made = target.with_name(target.name + ENDS[self.series.kind])
        if self.series.kind == "dicom":
            source = self._reader.frame(self.series, numbers[0]).source
            assert source is not None
            check(source.header, self.enhancer.scale, path=path)

        def results() -> Iterator[Frame]:
            for number in numbers:
                if count and self._stop.is_set():
                    raise _Stopped
                yield self.result(number).frame
                if count:
                    self._progress = dataclasses.replace(self._progress, state="working", done=number + 1)

        io.write(made, results())
        return made


class _Stopped(Exception):
    """The user has had enough."""


def _gray(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return luma(pixels) if pixels.ndim == 3 else pixels.astype(np.float32)


def _size(result: Result) -> int:
    return sum(a.nbytes for a in (result.pixels, result.lower, result.upper) if a is not None)
