"""Sending again, giving up, and what C-STORE and STOW-RS put on the wire."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("dicomweb_client")

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt

from acutance.errors import UsageError
from acutance.live.metrics import Metrics
from acutance.serve import logs
from acutance.serve.dicom import part10
from acutance.serve.dicom.cstore import CStoreLink
from acutance.serve.dicom.entry import Item
from acutance.serve.dicom.part10 import Received
from acutance.serve.dicom.send import Link, NotSent, Sender
from acutance.serve.dicom.settings import CStore, RetrySettings, Stow
from acutance.serve.dicom.spool import Spool
from acutance.serve.dicom.stow import StowLink
from acutance.serve.service import Context, Streams

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, JPEG_LS = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"


def context() -> Context:
    return Context(Metrics(), logs.of("node"), Streams())


def dataset(syntax: str = EXPLICIT) -> bytes:
    """A data set with a group length and a private element, which pydicom would not write like that."""
    out = pydicom.filebase.DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT, True
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientID = CT, "1.2.3", "x"
    ds.add_new(0x00090010, "LO", "SOMEBODY")
    ds.add_new(0x00091001, "UN", b"ab")
    pydicom.filewriter.write_dataset(out, ds)
    group_length = b"\x08\x00\x00\x00" + (b"\x04\x00\x00\x00" if syntax == IMPLICIT else b"UL\x04\x00") + b"\x2a\0\0\0"
    return group_length + out.getvalue()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.recover()
    return made


def put(spool: Spool, number: int = 3, syntax: str = EXPLICIT) -> None:
    spool.receive(dataset(syntax), Received(CT, f"1.2.{number}", syntax, "SCANNER", "::1"))
    taken = spool.take(0)
    assert taken is not None
    spool.send(taken, [("source", "pacs")])


class Played(Link):
    """A link that does what it is told."""

    def __init__(self, *answers: str | NotSent | Exception) -> None:
        self.answers, self.sent, self.closed = list(answers), [], False

    def send(self, path: Path, about: Received) -> str:
        answer = self.answers.pop(0) if self.answers else "0000"
        if isinstance(answer, Exception):
            raise answer
        self.sent.append(about.instance_uid)
        return answer

    def rest(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def sender(spool: Spool, link: Link, **retry: Any) -> Sender:
    return Sender("pacs", link, RetrySettings(**{"first_s": 0.001, **retry}), spool, context())


def item(spool: Spool) -> Item:
    found = spool.next("pacs", 0)
    assert found is not None
    return found


BUSY = NotSent("answered with status A700", refused=False)
REFUSED = NotSent("answered with status A900", refused=True)
SILENT = NotSent("gave no answer", refused=None)


def test_what_was_refused_often_enough_is_given_up_and_the_others_go_on(spool: Spool) -> None:
    put(spool, 1)
    put(spool, 2)
    one = sender(spool, Played(REFUSED, "0000", REFUSED), refusals=2)
    assert not one.deliver(item(spool))
    assert one.deliver(item(spool))
    assert one.deliver(item(spool))  # given up: the next may follow at once
    assert spool.next("pacs", 0) is None
    (dead,) = (spool.folder / "dead").iterdir()
    said = json.loads((dead / "dead.source.pacs").read_text())
    assert said["reason"] == "answered with status A900" and said["refused"] == 2
    assert part10.sender(dead / "source.dcm").instance_uid == "1.2.1"


def test_a_destination_that_is_away_gets_it_later_however_often_that_takes(spool: Spool) -> None:
    put(spool)
    one = sender(spool, Played(*[BUSY] * 20), refusals=1)
    for _ in range(20):
        assert not one.deliver(item(spool))
    assert "takes nothing: answered with status A700" in (one.health() or "")
    assert one.deliver(item(spool))
    assert one._failures == 0
    assert not list((spool.folder / "dead").iterdir())


def test_it_is_given_up_after_so_many_hours(spool: Spool) -> None:
    put(spool)
    one = sender(spool, Played(BUSY), give_up_h=1e-9)
    one.deliver(item(spool))
    assert len(list((spool.folder / "dead").iterdir())) == 1


def test_silence_speaks_against_a_file_only_after_another_was_taken(spool: Spool) -> None:
    put(spool, 1)
    one = sender(spool, Played(SILENT, SILENT, SILENT), refusals=2)
    for _ in range(3):
        assert not one.deliver(item(spool))
    put(spool, 2)
    assert one._refusals[item(spool)] == 1


def test_waiting_doubles_up_to_the_longest(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = sender(spool, Played(), first_s=1, longest_s=5)
    waited: list[float] = []
    monkeypatch.setattr(one._stop, "wait", waited.append)
    for one._failures in (1, 2, 3, 4, 5000):
        one._wait()
    assert waited == [1, 2, 4, 5, 5]


def test_a_thread_sends_what_comes_and_ends(spool: Spool) -> None:
    link = Played(BUSY, OSError("gone"), "0000")
    one = sender(spool, link)
    one.start()
    for number in (1, 2, 3):
        put(spool, number)
    for _ in range(400):
        if len(link.sent) == 3:
            break
        threading.Event().wait(0.02)
    one.stop(5)
    assert sorted(link.sent) == ["1.2.1", "1.2.2", "1.2.3"]
    assert link.closed
    assert one.health() is None


# C-STORE.


@pytest.fixture
def scp() -> Iterator[Callable[..., SimpleNamespace]]:
    """Return a function that starts pynetdicom's SCP for CT in these transfer syntaxes, with these answers."""
    running = []

    def start(*syntaxes: str, statuses: tuple[int, ...] = ()) -> SimpleNamespace:
        made = SimpleNamespace(got=[], associations=0, statuses=list(statuses))

        def store(event: evt.Event) -> int:
            made.got.append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
            made.title = event.assoc.requestor.ae_title
            made.instance = event.request.AffectedSOPInstanceUID
            return made.statuses.pop(0) if made.statuses else 0

        def accepted(event: evt.Event) -> None:
            made.associations += 1

        ae = AE("PACS")
        ae.supported_contexts = [build_context(CT, list(syntaxes))]
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accepted)]
        )
        assert server is not None
        running.append(server)
        made.port = server.server_address[1]
        return made

    yield start
    for server in running:
        server.shutdown()


def c_store(port: int, **more: Any) -> CStoreLink:
    said = {"kind": "c-store", "name": "pacs", "ae_title": "PACS", "address": "127.0.0.1", "port": port, "timeout_s": 5}
    return CStoreLink(CStore.model_validate({**said, **more}), "ACUTANCE")


def give(link: Link, spool: Spool, syntax: str = EXPLICIT) -> str:
    put(spool, 3, syntax)
    path = item(spool).path
    return link.send(path, part10.sender(path))


def test_c_store_sends_the_bytes_as_they_came_over_one_association(scp: Callable[..., Any], spool: Spool) -> None:
    there = scp(EXPLICIT, JPEG_LS)
    link = c_store(there.port)
    assert [give(link, spool), give(link, spool)] == ["0000", "0000"]
    assert there.got == [(EXPLICIT, dataset())] * 2
    assert there.title == "ACUTANCE" and there.instance == "1.2.3"
    assert there.associations == 1
    link.close()


def test_c_store_writes_anew_only_for_who_takes_the_other_native_syntax(scp: Callable[..., Any], spool: Spool) -> None:
    there = scp(IMPLICIT)
    link = c_store(there.port)
    assert give(link, spool) == "0000"
    ((syntax, data),) = there.got
    assert syntax == IMPLICIT
    found = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data), force=True)
    assert found.SOPInstanceUID == "1.2.3" and found[0x00091001].value == b"ab"
    with pytest.raises(NotSent, match="does not take CT Image Storage in JPEG-LS Lossless") as caught:
        give(link, spool, JPEG_LS)
    assert caught.value.refused
    link.close()


@pytest.mark.parametrize(
    ("status", "refused"), [(0xA700, False), (0x0124, False), (0xA900, True), (0xC123, True), (0x0122, True)]
)
def test_c_store_tells_who_is_busy_from_who_refuses(
    scp: Callable[..., Any], spool: Spool, status: int, refused: bool
) -> None:
    link = c_store(scp(EXPLICIT, statuses=(status,)).port)
    with pytest.raises(NotSent, match=f"{status:04X}") as caught:
        give(link, spool)
    assert caught.value.refused == refused
    link.close()


def test_c_store_takes_warnings_and_duplicates_for_success(scp: Callable[..., Any], spool: Spool) -> None:
    link = c_store(scp(EXPLICIT, statuses=(0xB000, 0xB007, 0x0111)).port)
    assert [give(link, spool) for _ in range(3)] == ["B000", "B007", "0111"]
    link.close()


def test_c_store_says_that_nobody_is_there(spool: Spool, unused_port: int) -> None:
    link = c_store(unused_port, timeout_s=1)
    with pytest.raises(NotSent, match="cannot be reached") as caught:
        give(link, spool)
    assert not caught.value.refused


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


# STOW-RS.


@pytest.fixture
def web() -> Iterator[SimpleNamespace]:
    """A web server that keeps what is posted and gives the answers that it is told."""
    made = SimpleNamespace(got=[], answers=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            made.got.append((self.path, dict(self.headers), self.rfile.read(length)))
            status, body = made.answers.pop(0) if made.answers else (200, {})
            said = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    yield made
    server.shutdown()
    server.server_close()


def stow(url: str, **more: Any) -> StowLink:
    return StowLink(Stow.model_validate({"kind": "stow", "name": "pacs", "url": url, "timeout_s": 5, **more}))


def failed(*reasons: int) -> dict[str, Any]:
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [x]}} for x in reasons]}}


def test_stow_sends_the_file_as_it_lies_there(web: SimpleNamespace, spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    link = stow(web.url + "/", token_file=tmp_path / "token")
    assert give(link, spool) == "200"
    ((path, headers, body),) = web.got
    assert path == "/dicom-web/studies"
    assert headers["Authorization"] == "Bearer abc"
    boundary = headers["Content-Type"].split("boundary=")[1]
    file = part10.head(Received(CT, "1.2.3", EXPLICIT, "SCANNER", "::1")) + dataset()
    assert body == (
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + f"\r\n--{boundary}--\r\n".encode()
    )
    link.close()


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ((500, {}), False),
        ((503, {}), False),
        ((401, {}), False),
        ((307, {}), False),
        ((400, {}), True),
        ((413, {}), True),
        ((409, failed(0xA900)), True),
        ((200, failed(0xC000)), True),
        ((409, failed(0xA700)), False),
        ((409, {}), True),
    ],
)
def test_stow_tells_who_is_busy_from_who_refuses(
    web: SimpleNamespace, spool: Spool, answer: tuple[int, dict[str, Any]], refused: bool
) -> None:
    web.answers = [answer]
    link = stow(web.url)
    with pytest.raises(NotSent, match=str(answer[0])) as caught:
        give(link, spool)
    assert caught.value.refused == refused
    assert len(web.got) == 1  # a redirection leads to an address that the settings do not name
    link.close()


def test_stow_takes_warnings_and_duplicates_for_success(web: SimpleNamespace, spool: Spool) -> None:
    web.answers = [(202, {}), (409, failed(0x0111)), (200, failed(0x0111))]
    link = stow(web.url)
    assert [give(link, spool) for _ in range(3)] == ["202", "0111", "0111"]
    link.close()


def test_stow_says_that_nobody_is_there(spool: Spool, unused_port: int) -> None:
    link = stow(f"http://127.0.0.1:{unused_port}/dicom-web")
    with pytest.raises(NotSent, match="cannot be reached") as caught:
        give(link, spool)
    assert not caught.value.refused


def test_stow_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"token.*cannot be read"):
        stow("http://127.0.0.1/x", token_file=tmp_path / "token")
