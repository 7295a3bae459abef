"""Services leave no name in logs, metrics, temporary files and caches, and talk to nobody but who is named."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client")

Serve = Callable[[str], Any]
Check = Callable[..., None]

TIMEOUT_S = 10.0


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_S)


def ended(serving: Any, check: Check, *named: int) -> None:
    """End a service, and look at all that it leaves, log and metrics among it."""
    metrics = serving.metrics()
    assert serving.end() == 0
    log: str = (serving.machine.folder / "log.jsonl").read_text()
    assert b"acutance_" in metrics and '"event"' in log
    check(named=named)


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
