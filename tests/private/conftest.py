"""A patient whose names stand nowhere else, processes whose connections are written down, and a search for both."""

from __future__ import annotations

import base64
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

import numpy as np
import pydicom
import pytest

ROOT = Path(__file__).resolve().parents[2]

SECRETS = {
    "PatientName": "Quandtwein^Xaveria",
    "PatientID": "ZQ7310994",
    "PatientBirthDate": "19270314",
    "AccessionNumber": "XJ88120475",
    "ReferringPhysicianName": "Wolpertinger^Ignaz",
    "InstitutionName": "Klinikum Zwirbelstein",
    "StudyDescription": "Verdacht auf Kropfband",
    "SeriesDescription": "Quandtwein Spaetphase",
    "PatientComments": "Tochter Philomena angerufen",
}
UIDS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.7731.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.7731.2",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.7731.3",
}
UID_ROOT = "1.2.826.0.1.3680043.8.498.7731"

WORDS = sorted(
    {
        *(w for v in SECRETS.values() for w in re.split(r"[\^ ]", v) if len(w) > 5),
        UID_ROOT,
    }
)
"""What is searched for: every long word of the header, and the root of its UIDs."""

START_S = 15.0


def spellings(word: str) -> set[bytes]:
    """The word as files may hold it, in lower case where letters have two."""
    wide = {word.encode(x) for x in ("utf-8", "utf-16-le", "utf-16-be")}
    packed = set()
    for data in (word, word.lower(), word.upper()):
        packed |= {base64.b64encode(b"\0" * shift + data.encode())[4:-4].lower() for shift in range(3)}
        packed.add(data.encode().hex().encode())
    return {x.lower() for x in wide} | {x for x in packed if len(x) > 7}


def quoted(data: bytes) -> list[str]:
    """Return the words of :data:`WORDS` that some bytes hold."""
    lower = data.lower()
    return [word for word in WORDS if any(x in lower for x in spellings(word))]


def found_in(place: Path, leave: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Return the files below a folder that quote the patient in what they hold or are called."""
    found = {}
    for path in sorted(place.rglob("*")):
        if any(path == x or x in path.parents for x in leave):
            continue
        data = os.fsencode(path.relative_to(place))
        data += path.read_bytes() if path.is_file() else b""
        if words := quoted(data):
            found[str(path.relative_to(place))] = words
    return found


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``connections.c`` as a library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    if not sys.platform.startswith("linux"):
        pytest.skip("no LD_PRELOAD")
    library = tmp_path_factory.mktemp("recorder") / "connections.so"
    source = Path(__file__).with_name("connections.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source, "-ldl"], check=True)
    return library


class Machine:
    """A machine of its own: a home, temporary files and a cache below one folder, and what its processes connect to."""

    def __init__(self, folder: Path, recorder: Path) -> None:
        self.folder = folder
        self.connections = folder.with_name(f"{folder.name}-connections")
        for name in ("home", "tmp", "cache", "work"):
            (folder / name).mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "LD_PRELOAD": str(recorder),
            "CONNECTIONS": str(self.connections),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def work(self) -> Path:
        """Where commands are run."""
        return self.folder / "work"

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start ``acutance`` with arguments; what it says goes to files of the machine."""
        command = [sys.executable, "-c", "from acutance.cli import main; main()", *map(str, arguments)]
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            return subprocess.Popen(command, cwd=self.work, env=self.environment, stdout=out, stderr=err)

    def run(self, *arguments: object) -> int:
        """Run ``acutance`` to its end; return its exit status."""
        return self.start(*arguments).wait(60)

    def said(self) -> str:
        """Return what processes wrote on stdout and stderr."""
        return "".join((self.folder / x).read_text() for x in ("stdout", "stderr") if (self.folder / x).exists())

    def reached(self) -> set[tuple[str, str]]:
        """Return the addresses and ports that were connected to, and ``(name, "name")`` for each look-up."""
        lines = self.connections.read_text().splitlines() if self.connections.exists() else []
        return {(line.split()[0], line.split()[1]) for line in lines}

    def strays(self) -> list[str]:
        """Return the files that others left: in the home, among temporary files, in the cache beside our folder."""
        found = [p for name in ("home", "tmp", "cache") for p in (self.folder / name).rglob("*") if p.is_file()]
        known = {self.folder / "cache" / x for x in ("acutance", "matplotlib")}  # the latter's list of fonts
        return [str(p) for p in found if not known & set(p.parents)]


@pytest.fixture
def machine(tmp_path: Path, recorder: Path) -> Machine:
    return Machine(tmp_path / "machine", recorder)


@pytest.fixture
def check(machine: Machine) -> Callable[..., None]:
    """Return a function that fails where a name was left outside of some folders, or somebody else was talked to."""

    def run(leave: Sequence[Path] = (), named: Sequence[int] = ()) -> None:
        assert not found_in(machine.folder, leave)
        assert machine.reached() <= {("127.0.0.1", str(port)) for port in named} | {("127.0.0.1", "name")}
        assert machine.strays() == []

    return run


@pytest.fixture
def search() -> Callable[..., dict[str, list[str]]]:
    """Return :func:`found_in`."""
    return found_in


@pytest.fixture
def words() -> Callable[[bytes], list[str]]:
    """Return :func:`quoted`."""
    return quoted


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A folder of the patient's scans with a name without meaning: CT, MR, a damaged file and a text."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for i, name in enumerate(("ct-abdomen", "mr-brain")):
        header = pydicom.dcmread(ROOT / "examples" / f"{name}.dcm")
        header.PixelData = np.ascontiguousarray(header.pixel_array[60:124, 60:132]).tobytes()
        header.Rows, header.Columns = 64, 72
        for keyword, value in {**SECRETS, **UIDS}.items():
            setattr(header, keyword, value)
        header.SeriesInstanceUID = f"{UIDS['SeriesInstanceUID']}.{i}"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}.4.{i}"
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.private_block(0x0009, "Maker", create=True).add_new(1, "LO", SECRETS["PatientName"])
        header.save_as(folder / f"{i}.dcm")
    whole = (folder / "0.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-3000])
    (folder / "bad.dcm").write_bytes(whole.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00XX"))
    (folder / "letter.txt").write_text(" ".join(SECRETS.values()))
    return folder


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Serving:
    """``acutance serve`` with one service and a monitor, as a process of a machine."""

    def __init__(self, machine: Machine, text: str) -> None:
        self.machine, self.port, self.monitor = machine, free_port(), free_port()
        config = machine.work / "config.toml"
        log = machine.folder / "log.jsonl"
        config.write_text(
            f'[monitor]\nport = {self.monitor}\n[logs]\nlevel = "debug"\nfile = "{log}"\n'
            + text.replace("PORT", str(self.port))
        )
        self.process = machine.start("serve", config)
        end = time.monotonic() + START_S
        while not self.is_well():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                pytest.fail(f"does not start: {machine.said()}")
            time.sleep(0.05)

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=5) as answer:
            return bytes(answer.read())

    def is_well(self) -> bool:
        try:
            return b"true" in self.ask("/health")
        except OSError:
            return False

    def metrics(self) -> bytes:
        """Return the metrics, and keep them among the machine's files."""
        found = self.ask("/metrics")
        (self.machine.folder / "metrics").write_bytes(found)
        return found

    def end(self) -> int:
        """Drain and end; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def serve(machine: Machine) -> Iterator[Callable[[str], Serving]]:
    """Return a function that starts a service as TOML says, ``PORT`` being a free one."""
    started: list[Serving] = []

    def start(text: str) -> Serving:
        started.append(Serving(machine, text))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


@pytest.fixture
def secrets() -> dict[str, str]:
    """The patient's header."""
    return {**SECRETS, **UIDS}
