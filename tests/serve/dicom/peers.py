"""A peer that says to a node what it likes, and what the node needs around it."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from acutance.live.metrics import Metrics
from acutance.serve import logs
from acutance.serve.dicom import messages
from acutance.serve.dicom.part10 import Received
from acutance.serve.dicom.scp import StorageScp
from acutance.serve.dicom.scp_settings import ReceiveSettings
from acutance.serve.service import Context, Streams

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
INSTANCE = "2.25.4711"
PATIENT = "Sentinel^Patient"


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Return an element in explicit VR, little endian."""
    value += b" " * (len(value) % 2) if vr not in (b"UI", b"OW") else b"\0" * (len(value) % 2)
    if vr in (b"OW", b"OB", b"SQ", b"UN"):
        return struct.pack("<HH2sHL", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def dataset(instance: str = INSTANCE, class_uid: str = CT, pixels: bytes = bytes(512)) -> bytes:
    """Return a small data set in explicit VR, little endian, with a sequence of undefined length."""
    item = element(0x0008, 0x1150, b"UI", class_uid.encode())
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    sequence += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    sequence += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return b"".join(
        (
            element(0x0008, 0x0016, b"UI", class_uid.encode()),
            element(0x0008, 0x0018, b"UI", instance.encode()),
            sequence,
            element(0x0010, 0x0010, b"PN", PATIENT.encode()),
            element(0x0028, 0x0010, b"US", struct.pack("<H", 16)),
            element(0x7FE0, 0x0010, b"OW", pixels),
        )
    )


def request(
    contexts: Sequence[tuple[str, Sequence[str]]] = ((VERIFICATION, (IMPLICIT,)), (CT, (EXPLICIT,))),
    calling: str = "PEER",
    called: str = "ACUTANCE",
) -> bytes:
    """Return the PDU that asks for an association."""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = calling, called
    built = [build_context(name, list(syntaxes)) for name, syntaxes in contexts]
    for number, context in enumerate(built):
        context.context_id = 2 * number + 1
    asked.presentation_context_definition_list = built
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16382, "2.25.1"
    asked.user_information = [length, implementation]
    return bytes(A_ASSOCIATE_RQ(asked).encode())


def command(field: int, class_uid: str, instance: str = "", data: bool = False, number: int = 1) -> bytes:
    """Return the command set of a request."""

    def part(tag: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0, tag, len(value)) + value

    def uid(text: str) -> bytes:
        return text.encode() + b"\0" * (len(text) % 2)

    body = part(0x0002, uid(class_uid)) + part(0x0100, struct.pack("<H", field))
    body += part(0x0110, struct.pack("<H", number)) + part(0x0800, struct.pack("<H", 1 if data else 0x0101))
    return body + (part(0x1000, uid(instance)) if instance else b"")


def pdv(context: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context, control) + fragment


def pdata(*items: bytes) -> bytes:
    body = b"".join(items)
    return struct.pack(">BxL", 4, len(body)) + body


def store(data: bytes, instance: str = INSTANCE, class_uid: str = CT, context: int = 3, piece: int = 60000) -> bytes:
    """Return the PDUs of a C-STORE."""
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)] or [b""]
    said = pdata(pdv(context, 3, command(messages.STORE_RQ, class_uid, instance, data=True)))
    for last, part in enumerate(pieces, 1 - len(pieces)):
        said += pdata(pdv(context, 0 if last else 2, part))
    return said


ECHO = pdata(pdv(1, 3, command(messages.ECHO_RQ, VERIFICATION)))
RELEASE = struct.pack(">BxL4x", 5, 4)


class Peer:
    """The other end of a connection to a node: it sends any bytes and reads PDUs."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, timeout: float = 8.0) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> bytes:
        """Return the next PDU, empty at the end of the connection."""
        head = self._read(6)
        return head + self._read(struct.unpack_from(">BxL", head)[1]) if head else b""

    def _read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            try:
                more = self.sock.recv(size - len(got))
            except ConnectionResetError:
                more = b""
            if not more:
                return b""
            got += more
        return got

    def associate(self, **options: Any) -> bytes:
        """Ask for an association; return the answer."""
        self.send(request(**options))
        return self.read()

    def status(self) -> int:
        """Return the status of the next answer."""
        answer = self.read()
        assert answer[:1] == b"\x04", f"no answer but {answer[:10]!r}"
        at = answer.index(struct.pack("<HHL", 0, 0x0900, 2))
        return int(struct.unpack_from("<H", answer, at + 8)[0])

    def store(self, data: bytes, **options: Any) -> int:
        """Store an instance; return the status."""
        self.send(store(data, **options))
        return self.status()


class FakeSpool:
    """Keeps instances in memory, after ``before`` was called."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, Received]] = []
        self.before: Callable[[], object] = lambda: None

    def receive(self, dataset: bytes | memoryview, about: Received) -> None:
        self.before()
        self.kept.append((bytes(dataset), about))


@dataclasses.dataclass
class Node:
    scp: StorageScp
    spool: Any
    metrics: Metrics

    @property
    def port(self) -> int:
        return self.scp.port

    def counts(self, name: str) -> dict[str, float]:
        """Return the counters of a name by the value of their one label."""
        return {labels[0][1] if labels else "": n for labels, n in self.metrics.snapshot().counts[name].items()}

    def peer(self, **options: Any) -> Peer:
        return Peer(self.port, **options)

    def works(self) -> bool:
        """Tell whether an honest peer is served."""
        with self.peer() as peer:
            if peer.associate()[:1] != b"\x02":
                return False
            peer.send(ECHO)
            good = peer.status() == 0 and peer.store(dataset()) == 0
            peer.send(RELEASE)
            return good and peer.read()[:1] == b"\x06"


def node(spool: Any = None, **settings: Any) -> Node:
    """Return a node that is not started yet, on a free port and for every caller of this machine."""
    metrics, spool = Metrics(), spool or FakeSpool()
    made = ReceiveSettings.model_validate({"port": 0, "callers": ["*"], **settings})
    return Node(StorageScp(made, spool, Context(metrics, logs.of("node"), Streams())), spool, metrics)
