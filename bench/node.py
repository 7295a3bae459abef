"""How fast a DICOM node takes images, beside the receivers of pynetdicom and dcmtk on the same disk.

Each association is one ``storescu`` of dcmtk, which sends files of its own. What is timed is from the start of all
senders to the end of the last. A receiver is started anew for each round, in an empty folder, after the disk has caught
up. Ours answers when the image has been flushed to the disk; the others answer when the operating system has it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rich import box, progress
from rich.console import Console
from rich.table import Table

from ..errors import UsageError
from . import record

OURS, UNFLUSHED = "acutance", "acutance, not flushed"
PYNETDICOM, DCMTK = "pynetdicom storescp", "dcmtk storescp"

WANTED = 0.8
"""Least share of the rate of pynetdicom's receiver that ours reaches."""

_START_S, _SEND_S = 60.0, 600.0

_SERVE = "import sys; from acutance.bench.node import serve; serve(sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'yes')"


def serve(folder: str, port: int, flush: bool) -> None:
    """Receive into a spool in ``folder`` until SIGTERM: what :func:`run` starts in a process of its own."""
    from ..live.metrics import Metrics
    from ..serve.dicom.disk import Disk
    from ..serve.dicom.scp import StorageScp
    from ..serve.dicom.scp_settings import ReceiveSettings
    from ..serve.dicom.spool import Limits, Spool
    from ..serve.service import Context, Streams

    if not flush:
        os.fsync = lambda fd: None
    spool = Spool(Path(folder), Limits(), Disk())
    spool.recover()
    log = logging.LoggerAdapter(logging.getLogger("acutance.serve"), {})
    context = Context(Metrics(), log, Streams())
    settings = ReceiveSettings(port=port, callers=("*",), associations=64, associations_per_peer=64)
    scp = StorageScp(settings, spool, context)
    scp.start()
    signal.sigwait({signal.SIGTERM})
    scp.stop(5.0)


def program(name: str) -> str | None:
    """Return where a program of dcmtk is, None where it is not installed.

    pynetdicom installs programs of the same names beside the interpreter; those are passed over.
    """
    own = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(f for f in folders if Path(f) != own))


def receivers() -> dict[str, Callable[[Path, int], list[str]]]:
    """Return for each receiver that is installed what gives its command for a folder and a port."""

    def ours(flush: str) -> Callable[[Path, int], list[str]]:
        return lambda folder, port: [sys.executable, "-c", _SERVE, str(folder), str(port), flush]

    def pynetdicom(folder: Path, port: int) -> list[str]:
        return [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-q", "-od", str(folder)]

    storescp = program("storescp")

    def dcmtk(folder: Path, port: int) -> list[str]:
        return [storescp or "", "--fork", "+B", "-od", str(folder), str(port)]

    found = {OURS: ours("yes"), UNFLUSHED: ours("no"), PYNETDICOM: pynetdicom}
    return {**found, DCMTK: dcmtk} if storescp else found


def images(folder: Path, count: int, size: int) -> None:
    """Write ``count`` CT slices of ``size`` x ``size`` 16-bit pixels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096, (size, size), dtype=np.uint16).tobytes()
    series = generate_uid()
    folder.mkdir()
    for number in range(count):
        made = Dataset()
        made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid()
        made.Modality, made.PatientName, made.PatientID = "CT", "Bench", "1"
        made.StudyInstanceUID, made.SeriesInstanceUID, made.InstanceNumber = series, series, number + 1
        made.Rows = made.Columns = size
        made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
        made.add_new(0x7FE00010, "OW", pixels)
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


@contextlib.contextmanager
def receiving(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a receiver inside the block, from when it takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or monotonic() > end:
                raise UsageError(f"{command[0]} does not start; wanted a receiver on port {port}")
            sleep(0.05)
        sleep(record.SETTLE)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def send(folders: Sequence[Path], port: int) -> float:
    """Send each folder over an association of its own, at the same time; return the seconds until all are answered.

    Raises
    ------
    UsageError
        An image was not taken.
    """
    start = perf_counter()
    where = ("-aec", "ACUTANCE", "127.0.0.1", str(port), "+sd")
    storescu = program("storescu") or "storescu"
    senders = [subprocess.Popen([storescu, *where, str(f)], stderr=subprocess.DEVNULL) for f in folders]
    status = [sender.wait(_SEND_S) for sender in senders]
    seconds = perf_counter() - start
    if any(status):
        raise UsageError(f"storescu ended with status {max(status)}; wanted every image taken")
    return seconds


def once(command: Callable[[Path, int], list[str]], folders: Sequence[Path], work: Path) -> float:
    """Return the seconds that one receiver takes for the images of ``folders``.

    Raises
    ------
    UsageError
        It does not start, or does not have all of them in the end.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    into = work / "received"
    into.mkdir()
    try:
        os.sync()
        with receiving(command(into, port), port):
            seconds = send(folders, port)
        wanted = sum(len(list(f.iterdir())) for f in folders)
        least = next(folders[0].iterdir()).stat().st_size // 2
        got = sum(p.is_file() and p.stat().st_size > least for p in into.rglob("*"))
        if got != wanted:
            raise UsageError(f"a receiver has {got} images of {wanted}")
        return seconds
    finally:
        shutil.rmtree(into)


def measure(associations: Sequence[int], count: int, size: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each receiver and number of associations; receivers run in turn.

    Raises
    ------
    UsageError
    """
    if program("storescu") is None:
        raise UsageError("storescu is not installed; wanted the Debian package dcmtk, which sends the images")
    found = receivers()
    seconds: dict[tuple[int, str], list[float]] = {(n, name): [] for n in associations for name in found}
    with tempfile.TemporaryDirectory(prefix="acutance-bench-", dir=folder) as made:
        work = Path(made)
        sources = [work / f"source-{n}" for n in range(max(associations))]
        for source in sources:
            images(source, count, size)
        rounds = [(n, name) for _ in range(repeats) for n in associations for name in found]
        for n, name in progress.track(rounds, "node"):
            try:
                seconds[n, name].append(once(found[name], sources[:n], work))
            except UsageError as e:
                raise UsageError(f"{name}, {n} associations: {e.message}") from None
    return [_row(name, n, count, size, taken, seconds[n, PYNETDICOM]) for (n, name), taken in seconds.items()]


def _row(
    name: str, associations: int, count: int, size: int, taken: Sequence[float], beside: Sequence[float]
) -> dict[str, Any]:
    total = associations * count
    ms = record.summary([1000 * t / total for t in taken])
    return {
        "way": name,
        "associations": associations,
        "images": total,
        "size": size,
        "flushed": name == OURS,
        "ms": ms,
        "images_s": round(1000 / ms["p50"], 1),
        "rate_over_pynetdicom": round(float(np.median(beside) / np.median(taken)), 3),
    }


def run(associations: Sequence[int], count: int, size: int, repeats: int, folder: Path, json: Path | None) -> bool:
    """Measure, print the table and write the result file; return whether ours is as fast as wanted."""
    about = record.machine()
    rows = measure(associations, count, size, repeats, folder)
    Console().print(table(rows))
    if json:
        record.write(json, "node", rows, about)
    return all(row["rate_over_pynetdicom"] >= WANTED for row in rows if row["way"] == OURS)


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the numbers as a table for the terminal."""
    title = f"{rows[0]['size']} x {rows[0]['size']} 16-bit, received and kept: images a second"
    shown = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("associations", "receiver", "answers when", "images/s", "of pynetdicom"):
        shown.add_column(column, no_wrap=True)
    for row in rows:
        when = "on the disk" if row["flushed"] else "handed over"
        rate, share = f"{row['images_s']:.1f}", f"{row['rate_over_pynetdicom']:.2f}"
        shown.add_row(str(row["associations"]), row["way"], when, rate, share)
    return shown
