"""Commands that a Storage SCP gets, and its answers (PS3.7 6.3, 9.1 and 9.3): always implicit VR, little endian."""

from __future__ import annotations

import dataclasses
import re
import struct

from .wire import Malformed

STORE_RQ, ECHO_RQ, CANCEL_RQ = 0x0001, 0x0030, 0x0FFF

SUCCESS = 0x0000
PROCESSING_FAILURE, INVALID_INSTANCE, CLASS_NOT_SUPPORTED = 0x0110, 0x0117, 0x0122
"""General failures (PS3.7 C.5)."""
OUT_OF_RESOURCES, OTHER_CLASS, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
"""Failures of C-STORE (PS3.4 table B.2-1)."""

MOST = 16384
"""Bytes of a command: its longest elements have 64."""

_NO_DATASET = 0x0101
_CLASS, _FIELD, _ID, _DATASET, _INSTANCE = 0x0002, 0x0100, 0x0110, 0x0800, 0x1000
_RESPONDED_TO, _STATUS = 0x0120, 0x0900

_UID = re.compile(r"[0-9.]{1,64}")


@dataclasses.dataclass(frozen=True)
class Command:
    """A request.

    Attributes
    ----------
    field : int
        What is asked for.
    message : int
        Its number.
    class_uid, instance_uid : str
        What it is about; empty where it is not said, or said by something that is no UID.
    has_dataset : bool
        Whether a data set follows.
    """

    field: int
    message: int
    class_uid: str
    instance_uid: str
    has_dataset: bool


def parse(data: bytes) -> Command:
    """Return what a command set says.

    Raises
    ------
    Malformed
        It is none, or lacks what every request has.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise Malformed("command cut short")
        group, element, length = struct.unpack_from("<HHL", data, at)
        if group or length > len(data) - at - 8:
            raise Malformed("no command")
        found[element] = data[at + 8 : at + 8 + length]
        at += 8 + length

    def number(element: int) -> int:
        if len(found.get(element, b"")) != 2:
            raise Malformed("command without number")
        return int.from_bytes(found[element], "little")

    field = number(_FIELD)
    message = number(_RESPONDED_TO if field == CANCEL_RQ else _ID)
    has_dataset = number(_DATASET) != _NO_DATASET
    return Command(field, message, uid(found.get(_CLASS, b"")), uid(found.get(_INSTANCE, b"")), has_dataset)


def uid(value: bytes) -> str:
    """Return a UID without its padding, which is a null, and a space with some writers; empty if it is none."""
    text = value.rstrip(b"\0 ").decode("latin-1")
    return text if _UID.fullmatch(text) else ""


def response(command: Command, status: int) -> bytes:
    """Return the command set that answers a request."""
    body = b""
    if command.class_uid:
        body += _element(_CLASS, _padded(command.class_uid))
    body += _element(_FIELD, struct.pack("<H", command.field | 0x8000))
    body += _element(_RESPONDED_TO, struct.pack("<H", command.message))
    body += _element(_DATASET, struct.pack("<H", _NO_DATASET))
    body += _element(_STATUS, struct.pack("<H", status))
    if command.instance_uid:
        body += _element(_INSTANCE, _padded(command.instance_uid))
    return _element(0, struct.pack("<L", len(body))) + body


def data_pdu(context: int, command: bytes) -> bytes:
    """Return the P-DATA-TF PDU that holds a whole command."""
    return struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, context, 3) + command


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, element, len(value)) + value


def _padded(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)
