"""Services leave no name in logs, metrics, temporary files and caches, and talk to nobody but who is named."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

pytest.importorskip("prometheus_client")

Serve = Callable[[str], Any]
Check = Callable[..., None]

TIMEOUT_S = 10.0


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_S)


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def ended(serving: Any, check: Check, *named: int, leave: Sequence[Path] = ()) -> None:
    """End a service, and look at all that it leaves, log and metrics among it."""
    serving.metrics()
    assert serving.end() == 0
    log: str = (serving.machine.folder / "log.jsonl").read_text()
    assert '"event"' in log
    check(leave, named)


MRD_HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>{PatientName}</patientName><patientID>{PatientID}</patientID></subjectInformation>
<studyInformation><studyInstanceUID>{StudyInstanceUID}</studyInstanceUID>
<studyDescription>{StudyDescription}</studyDescription></studyInformation>
<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz></experimentalConditions>
</ismrmrdHeader>"""


def test_mrd(serve: Serve, check: Check, secrets: dict[str, str]) -> None:
    ismrmrd = pytest.importorskip("ismrmrd", reason="no ismrmrd")
    serialization = pytest.importorskip("ismrmrd.serialization", reason="no ismrmrd")
    serving = serve('[[service]]\nkind = "mrd"\nname = "mr"\nport = PORT\nenhance = { threads = 1 }\n')
    for broken in (False, True):
        with connected(serving.port) as client, client.makefile("rwb") as file:
            writer = serialization.ProtocolSerializer(file)
            writer.serialize(serialization.ConfigFile(secrets["PatientName"] if broken else "acutance"))
            header = MRD_HEADER.format(**secrets)
            writer.serialize(header[: len(header) // 2] if broken else ismrmrd.xsd.CreateFromDocument(header))
            writer.serialize(f"for {secrets['PatientName']}")
            made = ismrmrd.Image.from_array(np.arange(32 * 32, dtype=np.uint16).reshape(1, 1, 32, 32))
            made.image_type = ismrmrd.IMTYPE_MAGNITUDE
            made.meta = {"PatientName": secrets["PatientName"], "SeriesDescription": secrets["SeriesDescription"]}
            writer.serialize(made)
            writer.close()
            if not broken:
                back = list(serialization.ProtocolDeserializer(file).deserialize())
                assert [x.matrix_size for x in back if isinstance(x, ismrmrd.Image)] == [(64, 64, 1)]
                continue
            while file.read(4096):
                pass
    with connected(serving.port) as client:  # what is no protocol at all
        client.sendall(secrets["PatientName"].encode() * 50)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    ended(serving, check)


def test_openigtlink(serve: Serve, check: Check, secrets: dict[str, str]) -> None:
    pytest.importorskip("fastcrc")
    igtl = pytest.importorskip("pyigtl")
    name = secrets["PatientName"][:12]
    with socket.create_server(("127.0.0.1", 0)) as source:
        source.settimeout(TIMEOUT_S)
        port = source.getsockname()[1]
        serving = serve(
            '[[service]]\nkind = "openigtlink"\nname = "navigation"\nenhance = { threads = 1 }\n'
            f'source = {{ role = "client", port = {port} }}\nreceivers = {{ role = "server", port = PORT }}\n'
        )
        near = source.accept()[0]
        with near, connected(serving.port) as viewer:
            viewer.settimeout(TIMEOUT_S)
            picture = igtl.ImageMessage(np.zeros((1, 24, 32), np.uint8), device_name=name)
            picture.header_version, picture.metadata = 2, {"PatientName": secrets["PatientName"]}
            text = igtl.StringMessage(secrets["PatientName"], device_name=name)
            damaged = bytearray(picture.pack())
            damaged[-1] ^= 1
            got = b""
            while b"acutance.model" not in got or got.count(b"STRING") < 1:
                near.sendall(text.pack() + picture.pack() + bytes(damaged))
                got += viewer.recv(1 << 20)
            near.sendall(name.encode() * 20)  # no header
            with contextlib.suppress(ConnectionResetError):
                assert near.recv(1) == b""
    ended(serving, check, port)


@pytest.fixture
def archive() -> Iterator[Any]:
    """A storage SCP that keeps the data sets that it gets in ``kept``, at ``port``."""
    pynetdicom = pytest.importorskip("pynetdicom")
    kept: list[Any] = []

    def store(event: Any) -> int:
        kept.append(event.dataset)
        return 0

    ae = pynetdicom.AE("ARCHIVE")
    ae.supported_contexts = pynetdicom.StoragePresentationContexts
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, store)])
    yield types.SimpleNamespace(port=server.socket.getsockname()[1], kept=kept)
    server.shutdown()


DICOM = """
[[service]]
kind = "dicom"
name = "node"
enhance = {{ threads = 1 }}
series = {{ quiet_s = 0.2 }}
receive = {{ ae_title = "NODE", port = PORT, callers = ["SCANNER"] }}
spool = {{ folder = "{spool}" }}
[[service.destination]]
kind = "c-store"
name = "archive"
ae_title = "ARCHIVE"
address = "127.0.0.1"
port = {port}
"""


def test_dicom(
    serve: Serve, check: Check, archive: Any, machine: Any, patient: Path, secrets: dict[str, str], search: Any
) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    spool = machine.folder / "spool"
    serving = serve(DICOM.format(spool=spool, port=archive.port))
    scans = [pydicom.dcmread(patient / f"{i}.dcm") for i in range(2)]
    odd = pydicom.dcmread(patient / "0.dcm")  # cannot be enhanced
    odd.SOPInstanceUID, odd.PhotometricInterpretation = f"{secrets['StudyInstanceUID']}.9", secrets["PatientID"]
    for title in ("SCANNER", "STRANGER"):
        ae = pynetdicom.AE(title)
        ae.requested_contexts = [pynetdicom.build_context(x.SOPClassUID) for x in scans]
        association = ae.associate("127.0.0.1", serving.port, ae_title="NODE")
        assert association.is_established == (title == "SCANNER")
        if association.is_established:
            assert [association.send_c_store(x).Status for x in (*scans, odd)] == [0, 0, 0]
            association.release()
    wait_for(lambda: len(archive.kept) >= 5)  # sources, and what was derived of two
    assert {str(x.PatientName) for x in archive.kept} == {secrets["PatientName"]}
    ended(serving, check, archive.port, leave=[spool / "done"])  # the UIDs of what was sent
    assert not {w for found in search(spool).values() for w in found} - {secrets["StudyInstanceUID"][:-2]}


def test_page(serve: Serve, check: Check, machine: Any, patient: Path, secrets: dict[str, str]) -> None:
    pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    serving = serve('[[service]]\nkind = "page"\nname = "look"\nport = PORT\nenhance = { threads = 1 }\n')
    with httpx.Client(base_url=f"http://127.0.0.1:{serving.port}", headers={"x-acutance": "1"}, timeout=20) as browser:
        assert browser.post("/api/login", json={"token": ""}).status_code == 204
        for path in [*patient.iterdir(), patient / "0.dcm"]:
            name = f"{secrets['PatientName']}-{path.name}"
            browser.post("/api/files", headers={"x-file-name": name}, content=path.read_bytes())
        (mine, *_) = browser.post("/api/series").json()["series"]
        browser.get(f"/api/series/{mine['id']}/slices/0/pixels")
        browser.get(f"/api/series/{secrets['PatientID']}/slices/0")
        run = browser.post("/api/runs", json={"series": mine["id"]}).json()
        assert browser.post(f"/api/runs/{run['id']}/start").status_code == 202
        wait_for(lambda: browser.get(f"/api/runs/{run['id']}").json()["state"] == "done")
    ended(serving, check)


def test_video(machine: Any, check: Check, secrets: dict[str, str]) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    clip = machine.folder.with_name("clip.mkv")
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=1"]
    title = ["-metadata", f"title={secrets['PatientName']}"]
    subprocess.run([ffmpeg, "-v", "error", *source, *title, "-pix_fmt", "yuv420p", "-y", clip], check=True)
    assert machine.run("serve", "video", clip, "-o", "out.mkv", "--threads", "1") == 0, machine.said()
    assert (machine.work / "out.mkv").stat().st_size > 0
    damaged = clip.with_name("damaged.mkv")
    damaged.write_bytes(clip.read_bytes()[:300])
    assert machine.run("serve", "video", damaged, "-o", "none.mkv") == 1
    check([machine.work / "out.mkv"])
