"""A node in a process of its own, between dcmtk's ``storescu`` and Orthanc."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from acutance.bench.node import program
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def instance(number: int, modality: str, series: str, side: int = 48) -> FileDataset:
    """A small slice whose pixels tell it from all others."""
    ds = FileDataset(None, {}, preamble=bytes(128))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CLASSES[modality]
    uid = generate_uid(entropy_srcs=[series, str(number)])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), series
    ds.PatientName, ds.PatientID, ds.Modality = "Kill^Test", "K1", modality
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ""
    ds.ReferringPhysicianName, ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "", "1", 1, number
    ds.Manufacturer, ds.SeriesDescription, ds.FrameOfReferenceUID = "test", f"{modality} small", generate_uid()
    ds.ImageType, ds.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY", "AXIAL"], ""
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", side, side
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    if modality == "CT":
        ds.RescaleSlope, ds.RescaleIntercept, ds.KVP = 1, 0, 120
    pixels = np.random.default_rng(number).integers(0, 900, (side, side), dtype=np.int16)
    ds.PixelData = pixels.tobytes()
    return ds


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., list[Path]]:
    """Return a function that writes ``count`` instances of a new series."""

    def make(modality: str, count: int, name: str = "") -> list[Path]:
        series = generate_uid(entropy_srcs=["series", modality, name])
        paths = []
        for number in range(1, count + 1):
            paths.append(tmp_path / f"{modality}{name}-{number:04}.dcm")
            instance(number, modality, series).save_as(paths[-1], enforce_file_format=True)
        return paths

    return make


def _tool(name: str) -> str:
    found = program(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@dataclasses.dataclass
class Orthanc:
    """A running Orthanc."""

    dicom: int
    http: int

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{path}", timeout=20) as answer:
            return json.load(answer)

    def count(self) -> int:
        """Instances that it holds."""
        return int(self.ask("statistics")["CountInstances"])

    def all(self) -> dict[str, pydicom.Dataset]:
        """Return what it holds by SOP Instance UID."""
        found: dict[str, pydicom.Dataset] = {}
        for name in self.ask("instances"):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/instances/{name}/file", timeout=20) as answer:
                ds = pydicom.dcmread(io.BytesIO(answer.read()))
            assert ds.SOPInstanceUID not in found
            found[str(ds.SOPInstanceUID)] = ds
        return found


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Return a function that starts an Orthanc of its own, with these changes to its configuration."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**more: Any) -> Orthanc:
        program = _tool("Orthanc")
        if not Path(PLUGIN).exists():
            pytest.skip("orthanc-dicomweb is not installed")
        home = tmp_path / f"orthanc{len(running)}"
        home.mkdir()
        made = Orthanc(free_port(), free_port())
        settings = {
            "Name": "test",
            "StorageDirectory": str(home / "storage"),
            "IndexDirectory": str(home / "storage"),
            "HttpPort": made.http,
            "DicomPort": made.dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **more,
        }
        (home / "orthanc.json").write_text(json.dumps(settings))
        with (home / "log").open("wb") as log:
            running.append(subprocess.Popen([program, str(home / "orthanc.json")], stdout=log, stderr=log))
        wait_for(lambda: made.count() == 0, 60, lambda: (home / "log").read_text()[-2000:])
        return made

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


def wait_for(done: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if done():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; {why()}")


class Node:
    """``acutance serve`` in a process that may be killed and started again."""

    def __init__(self, home: Path, destinations: str, more: str = "") -> None:
        self.home, self.port = home, free_port()
        home.mkdir()
        self.spool = home / "spool"
        self.log = home / "log"
        self.config = home / "node.toml"
        self.config.write_text(
            f"""
[[service]]
kind = "dicom"
name = "node"

[service.receive]
port = {self.port}
callers = ["*"]

[service.spool]
folder = "{self.spool}"
reserve_mb = 0
tries = 1000

[service.series]
quiet_s = 1.0

[service.enhance]
threads = 1
backend = "onnxruntime"
{more}
{destinations}
"""
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", "from acutance.cli import main; main()", "serve", str(self.config)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.home / "cache")}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        if wait:
            wait_for(self.listens, 90, self.log.read_text)

    def listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def left(self) -> list[str]:
        """Files of instances that are not everywhere yet."""
        names = ("incoming", "ready", "work", "waiting", "sending")
        return [str(p) for name in names for p in (self.spool / name).rglob("*") if p.is_file()]

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(x) for p in sorted((self.spool / "done").iterdir()) for x in p.read_text().splitlines()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Return a function that makes a node, which is not started yet."""
    made: list[Node] = []

    def make(destinations: str, more: str = "") -> Node:
        made.append(Node(tmp_path / f"node{len(made)}", destinations, more))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()


def send(port: int, paths: Sequence[Path]) -> list[Path]:
    """Send files by ``storescu``; return those to which the node answered with success."""
    command = [_tool("storescu"), "-v", "-aet", "STORESCU", "-aec", "ACUTANCE", "-to", "5", "-td", "20", "127.0.0.1"]
    done = subprocess.run([*command, str(port), *map(str, paths)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found: list[Path] = []
    sending = None
    for line in said.splitlines():
        if (match := re.search(r"Sending file: (.*)$", line)) is not None:
            sending = Path(match[1].strip())
        elif "Received Store Response (Success)" in line and sending is not None:
            found.append(sending)
            sending = None
    return found


def twin_of(ds: pydicom.Dataset) -> str:
    """Return the UID of the source of a derived object."""
    return str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)


def instance_uid(path: Path) -> str:
    """Return the SOP Instance UID of a file."""
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


@pytest.fixture
def helpers() -> SimpleNamespace:
    """The functions of this file."""
    functions = (send, twin_of, wait_for, free_port, instance, instance_uid)
    return SimpleNamespace(**{f.__name__: f for f in functions})
