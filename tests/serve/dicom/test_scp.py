"""What senders get from the node: answers that hold, and no more than they may have."""

from __future__ import annotations

import re
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

pytest.importorskip("pynetdicom")
from pynetdicom import AE

from acutance.errors import OutputError, UsageError
from acutance.serve.dicom import negotiate
from acutance.serve.dicom.scp_settings import ReceiveSettings, TlsSettings
from acutance.serve.dicom.spool import Limits, Spool, SpoolFull

SR, US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.3.1"
EXPLICIT, MPEG4 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.102"

Listen = Callable[..., Any]


def wait_for(what: Callable[[], object], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


# What is kept.


def test_the_page_names_every_setting_and_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "dicom-node.md").read_text()
    for name, field in {**ReceiveSettings.model_fields, **TlsSettings.model_fields}.items():
        assert name in page, name
        if isinstance(field.default, int | float):
            assert re.search(rf"{name}`?[^|\n]*(\||=)[^|\n]*\b{field.default:.6g}\b", page), name


def test_an_instance_is_kept_as_it_came(listen: Listen, peers: ModuleType) -> None:
    node = listen()
    data = peers.dataset(pixels=bytes(range(256)) * 2000)
    with node.peer() as peer:
        assert peer.associate(calling="CT 1")[:1] == b"\x02"
        assert peer.store(data) == 0
        assert peer.store(data, piece=1000) == 0
    for kept, about in node.spool.kept:
        assert kept == data
        assert (about.class_uid, about.instance_uid, about.syntax) == (peers.CT, peers.INSTANCE, peers.EXPLICIT)
        assert (about.calling_ae, about.peer) == ("CT 1", "127.0.0.1")
    assert len(node.spool.kept) == 2  # sent twice on purpose or after a lost answer: each is taken
    assert node.counts("instances_in_total") == {"": 2}


def test_fragments_may_share_a_pdu(listen: Listen, peers: ModuleType) -> None:
    node, data = listen(), peers.dataset()
    command = peers.command(1, peers.CT, peers.INSTANCE, data=True)
    with node.peer() as peer:
        peer.associate()
        pieces = (peers.pdv(3, 1, command[:20]), peers.pdv(3, 3, command[20:]), peers.pdv(3, 0, data[:9]))
        peer.send(peers.pdata(*pieces, peers.pdv(3, 2, data[9:])) + peers.ECHO)
        assert peer.status() == 0 and peer.status() == 0
    assert node.spool.kept[0][0] == data


@pytest.mark.parametrize("syntax", negotiate.READ)
def test_every_transfer_syntax_that_is_read_is_taken_untouched(listen: Listen, peers: ModuleType, syntax: str) -> None:
    names = {
        peers.IMPLICIT: "CT_small.dcm",
        pydicom.uid.ExplicitVRBigEndian: "MR_small_bigendian.dcm",
        pydicom.uid.DeflatedExplicitVRLittleEndian: "image_dfl.dcm",
    }
    if syntax in names:
        path = Path(str(get_testdata_file(names[syntax], download=False)))
        read = pydicom.dcmread(path)
        instance, class_uid = str(read.SOPInstanceUID), str(read.SOPClassUID)
        data = path.read_bytes()
        data = data[144 + struct.unpack_from("<L", data, 140)[0] :]
        if syntax == peers.IMPLICIT:
            read.file_meta.TransferSyntaxUID = syntax
            stream = pydicom.filebase.DicomBytesIO()
            stream.is_implicit_VR, stream.is_little_endian = True, True
            read = pydicom.dcmread(path)
            read.set_original_encoding(True, True)
            pydicom.filewriter.write_dataset(stream, read)
            data = stream.getvalue()
    else:  # one frame of any bytes: receiving looks at none of them
        instance, class_uid = peers.INSTANCE, peers.CT
        data = peers.dataset()
        data = data[: data.index(struct.pack("<HH", 0x7FE0, 0x0010))]
        if syntax != peers.EXPLICIT:
            data += struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
            data += struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, 6) + b"\xff\xd8abcd"
            data += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    node = listen()
    with node.peer() as peer:
        peer.associate(contexts=((peers.VERIFICATION, (peers.IMPLICIT,)), (class_uid, (syntax,))))
        assert peer.store(data, instance=instance, class_uid=class_uid) == 0
    assert node.spool.kept[0][0] == data
    assert node.spool.kept[0][1].syntax == syntax


def test_a_sender_with_a_choice_is_not_made_to_lose_pixels(listen: Listen, peers: ModuleType) -> None:
    lossy, lossless = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
    with listen().peer() as peer:
        answer = peer.associate(contexts=((peers.CT, (lossy, lossless)), (peers.CT, (lossless, peers.EXPLICIT))))
        assert lossless.encode() in answer and peers.EXPLICIT.encode() in answer and lossy.encode() not in answer


def test_success_is_said_when_the_spool_has_the_instance(listen: Listen, peers: ModuleType) -> None:
    node, kept = listen(), threading.Event()
    node.spool.before = kept.wait
    with node.peer(timeout=0.3) as peer:
        peer.associate()
        with pytest.raises(TimeoutError):
            peer.store(peers.dataset())
        kept.set()
        assert peer.status() == 0


@pytest.mark.parametrize(
    ("error", "status"), [(SpoolFull("no room"), 0xA700), (OutputError("no"), 0x0110), (ValueError("bug"), None)]
)
def test_what_the_spool_does_not_keep_is_refused(
    listen: Listen, peers: ModuleType, error: Exception, status: int | None
) -> None:
    node = listen()

    def fail() -> None:
        raise error

    node.spool.before = fail
    with node.peer() as peer:
        peer.associate()
        peer.send(peers.store(peers.dataset()))
        if status is None:
            assert peer.read()[:1] == b"\x07"
        else:
            assert peer.status() == status
            node.spool.before = lambda: None
            assert peer.store(peers.dataset()) == 0
    node.spool.before = lambda: None
    assert node.works()


def test_a_real_spool_is_full(listen: Listen, peers: ModuleType, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Limits(quota=3000))
    spool.recover()
    node = listen(spool)
    with node.peer() as peer:
        peer.associate()
        assert [peer.store(peers.dataset()) for _ in range(4)][-1] == 0xA700
        assert peer.store(peers.dataset(pixels=b"")) in (0, 0xA700)
    assert spool.counts()["ready"] >= 2
    spool.close()


# What is refused.


def wrong_datasets(peers: ModuleType) -> dict[str, tuple[bytes, int]]:
    good = peers.dataset()
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return {
        "cut in a value": (good[:-3], 0xC000),
        "cut in a header": (good + b"\x10\x00", 0xC000),
        "no VR": (good.replace(b"PN", b"??"), 0xC000),
        "wrong VR": (good.replace(b"PN", b"OW"), 0xC000),
        "text": (b"this is no DICOM data set at all, I am afraid", 0xC000),
        "empty": (b"", 0xA900),
        "other instance": (peers.dataset("2.25.1"), 0xA900),
        "other class": (peers.dataset(class_uid="1.2.840.10008.5.1.4.1.1.4"), 0xA900),
        "open sequence": (good + sequence + item, 0xC000),
        "deep": (good + (sequence + item) * 100000, 0xC000),
        "item outside": (good + item, 0xC000),
    }


@pytest.mark.parametrize(
    "name",
    [
        "cut in a value",
        "cut in a header",
        "no VR",
        "wrong VR",
        "text",
        "empty",
        "other instance",
        "other class",
        "open sequence",
        "deep",
        "item outside",
    ],
)
def test_a_dataset_that_makes_no_sense_is_refused(listen: Listen, peers: ModuleType, name: str) -> None:
    node, (data, status) = listen(), wrong_datasets(peers)[name]
    with node.peer() as peer:
        peer.associate()
        assert peer.store(data) == status
        assert peer.store(peers.dataset()) == 0  # the association goes on
    assert [kept for kept, _ in node.spool.kept] == [peers.dataset()]
    assert node.counts("instances_refused_total") == {f"0x{status:04X}": 1}


def test_a_command_that_does_not_fit_is_refused(listen: Listen, peers: ModuleType) -> None:
    node = listen()
    with node.peer() as peer:
        peer.associate()
        assert peer.store(peers.dataset(), class_uid="1.2.840.10008.5.1.4.1.1.4") == 0x0122
        assert peer.store(peers.dataset(), instance="../../etc") == 0x0117
        peer.send(peers.pdata(peers.pdv(3, 3, peers.command(1, peers.CT, peers.INSTANCE))))
        assert peer.status() == 0xC000
    assert node.spool.kept == []


def test_an_object_that_is_too_large_is_refused_and_takes_no_memory(listen: Listen, peers: ModuleType) -> None:
    node, most = listen(object_mb=1), []
    memory = node.scp._node.memory
    grow = memory.take
    memory.take = lambda size: most.append(memory.left) or grow(size)
    with node.peer() as peer:
        peer.associate()
        assert peer.store(peers.dataset(pixels=bytes(1_500_000))) == 0xA700
        assert peer.store(peers.dataset(pixels=bytes(500_000))) == 0
        peer.send(peers.store(peers.dataset(pixels=bytes(1_500_000)))[:-100000])
        peer.send(peers.pdata(peers.pdv(3, 0, bytes(100000))) * 20)  # no end
        assert peer.read()[:1] in (b"\x07", b"")
    wait_for(lambda: memory.left == 2048 << 20)
    assert (2048 << 20) - min(most) <= 1 << 20


def test_all_together_get_no_more_memory_than_there_is(listen: Listen, peers: ModuleType) -> None:
    node = listen(memory_mb=1)
    with node.peer() as one, node.peer() as two:
        one.associate()
        two.associate()
        one.send(peers.store(peers.dataset(pixels=bytes(700_000)))[:-10])
        wait_for(lambda: node.scp._node.memory.left < 400_000)
        assert two.store(peers.dataset(pixels=bytes(500_000))) == 0xA700
    with node.peer() as peer:
        wait_for(lambda: node.scp._node.memory.left == 1 << 20)
        peer.associate()
        assert peer.store(peers.dataset(pixels=bytes(500_000))) == 0


# Who may come.


@pytest.mark.parametrize(
    ("settings", "options", "why"),
    [
        ({}, {"called": "OTHER"}, (1, 1, 7)),
        ({"callers": ["CT1", "CT2"]}, {"calling": "CT3"}, (1, 1, 3)),
        ({"callers": ["CT1", "CT2"]}, {"calling": "CT2"}, None),
        ({"ae_title": "NODE 7"}, {"called": "NODE 7"}, None),
    ],
)
def test_ae_titles(
    listen: Listen, settings: dict[str, Any], options: dict[str, str], why: tuple[int, int, int] | None
) -> None:
    with listen(**settings).peer() as peer:
        answer = peer.associate(**options)
        assert answer[:1] == (b"\x02" if why is None else b"\x03")
        assert why is None or tuple(answer[7:10]) == why


def test_addresses(listen: Listen) -> None:
    node = listen(networks=["10.0.0.0/8", "127.0.0.2/32"])
    with node.peer() as peer:
        assert peer.read() == b""
    assert node.counts("connections_refused_total") == {"address": 1}
    assert listen(networks=["127.0.0.0/24"]).works()


@pytest.mark.parametrize("settings", [{"associations": 2}, {"associations": 9, "associations_per_peer": 2}])
def test_associations_are_limited(listen: Listen, settings: dict[str, int]) -> None:
    node = listen(**settings)
    with node.peer() as one, node.peer() as two, node.peer() as three:
        assert one.associate()[:1] == two.associate()[:1] == b"\x02"
        assert tuple(three.associate()[7:10]) == (2, 3, 2)
        with node.peer() as four, node.peer() as five:  # connections that say nothing
            assert five.read() == b"" or four.read() == b""
    wait_for(lambda: node.scp._connections.taken == 0)
    assert node.works()


@pytest.mark.parametrize(
    ("others", "class_uid", "syntax", "taken"),
    [
        ("forward", SR, EXPLICIT, True),
        ("refuse", SR, EXPLICIT, False),
        ([SR], SR, EXPLICIT, True),
        ([US_MULTIFRAME], SR, EXPLICIT, False),
        (["1.2.3.4"], "1.2.3.4", EXPLICIT, True),
        ("forward", "1.2.840.10008.5.1.4.1.2.2.1", EXPLICIT, False),  # a query
        ("forward", US_MULTIFRAME, MPEG4, True),
        ("refuse", US_MULTIFRAME, MPEG4, False),
    ],
)
def test_other_classes(
    listen: Listen, peers: ModuleType, others: Any, class_uid: str, syntax: str, taken: bool
) -> None:
    node = listen(other_classes=others)
    with node.peer() as peer:
        peer.associate(contexts=((peers.VERIFICATION, (peers.IMPLICIT,)), (class_uid, (syntax,))))
        peer.send(peers.store(peers.dataset(class_uid=class_uid), class_uid=class_uid))
        if taken:
            assert peer.status() == 0
        else:
            assert peer.read()[:1] == b"\x07"
    assert len(node.spool.kept) == taken


# Slow and rude peers.


def trickle(peer: Any, data: bytes, pause: float) -> float:
    """Send bytes one by one until the other side ends it; return after how many seconds."""
    start = time.monotonic()
    try:
        for at in range(len(data)):
            peer.send(data[at : at + 1])
            time.sleep(pause)
            if time.monotonic() - start > 6:
                break
    except OSError:
        pass
    return time.monotonic() - start


def test_a_byte_a_time_gets_no_association(listen: Listen, peers: ModuleType) -> None:
    node = listen(begin_s=0.4)
    with node.peer() as silent, node.peer() as slow:
        assert trickle(slow, peers.request(), 0.05) < 3
        assert silent.read()[:1] == b"\x07"
        assert node.works()


@pytest.mark.parametrize("what", ["half a PDU", "half a message", "crumbs", "nothing"])
def test_a_peer_that_stops_is_let_go(listen: Listen, peers: ModuleType, what: str) -> None:
    node = listen(begin_s=0.5, stall_s=0.4, idle_s=0.5, slowest_kb_s=100)
    said = peers.store(peers.dataset(), piece=20)
    with node.peer() as peer:
        peer.associate()
        if what == "crumbs":  # each PDU comes in time, the message does not
            for at in range(60):
                try:
                    peer.send(peers.pdata(peers.pdv(3, 1, bytes([at]))))
                except OSError:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError("crumbs were taken for ever")
        else:
            peer.send({"half a PDU": said[:50], "half a message": said[:-26], "nothing": b""}[what])
            assert peer.read()[:1] == b"\x07"
    wait_for(lambda: node.scp._connections.taken == 0)
    assert set(node.counts("association_ends_total")) <= {"too slow", "idle", "connection lost"}
    assert node.works()


@pytest.mark.parametrize(
    "said",
    [
        struct.pack(">BxL", 4, 131073),  # longer than was agreed
        struct.pack(">BxL", 4, 0xFFFFFFFF),
        struct.pack(">BxL", 5, 5),
        struct.pack(">BxL", 9, 0),
        struct.pack(">BxL", 2, 0),
        struct.pack(">BxLL", 4, 4, 0),
        struct.pack(">BxLLBB", 4, 6, 2, 77, 3),  # context that was not accepted
        struct.pack(">BxLLBB", 4, 6, 2, 3, 2),  # a data set without a command
        struct.pack(">BxLLBB", 4, 6, 99, 3, 3),
    ],
)
def test_what_is_not_allowed_ends_in_an_abort(listen: Listen, said: bytes) -> None:
    node = listen()
    with node.peer() as peer:
        peer.associate()
        peer.send(said)
        assert peer.read()[:1] == b"\x07"
        assert peer.read() == b""
    assert node.works()


@pytest.mark.parametrize("field", [0x0020, 0x0021, 0x0010, 0x0100, 0x0140, 0x8001])
def test_other_services_are_not_there(listen: Listen, peers: ModuleType, field: int) -> None:
    node = listen()
    with node.peer() as peer:
        peer.associate()
        peer.send(peers.pdata(peers.pdv(3, 3, peers.command(field, peers.CT, peers.INSTANCE))))
        assert peer.read()[:1] == b"\x07"


# The end.


def test_stopping_finishes_what_has_begun_and_nothing_else(listen: Listen, peers: ModuleType) -> None:
    node = listen()
    with node.peer() as idle, node.peer() as busy:
        idle.associate()
        busy.associate()
        said = peers.store(peers.dataset(), piece=100)
        busy.send(said[:-10])
        wait_for(lambda: node.scp._node.memory.left < 2048 << 20)
        stop = threading.Thread(target=node.scp.stop, args=(5.0,))
        stop.start()
        assert idle.read()[:1] == b"\x07"
        assert node.scp.health() == "does not listen"
        busy.send(said[-10:])
        assert busy.status() == 0
        stop.join(5.0)
        assert not stop.is_alive()
        with pytest.raises(ConnectionError):
            node.peer()


def test_stopping_does_not_wait_for_ever(listen: Listen, peers: ModuleType) -> None:
    node = listen()
    with node.peer() as peer:
        peer.associate()
        peer.send(peers.store(peers.dataset())[:-10])
        start = time.monotonic()
        node.scp.stop(0.5)
        assert time.monotonic() - start < 2
        assert peer.read() in (b"",) or peer.read() == b""


def test_a_port_that_is_taken_is_named(listen: Listen) -> None:
    node = listen()
    with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1 port {node.port} \(Address already in use\)"):
        listen(port=node.port)


def test_nothing_of_a_patient_is_logged(listen: Listen, peers: ModuleType, logged: pytest.LogCaptureFixture) -> None:
    node = listen(callers=["PEER"])
    with node.peer() as peer:
        peer.associate()
        assert peer.store(peers.dataset()) == 0
        assert peer.store(peers.dataset()[:-1]) == 0xC000
        peer.send(peers.pdata(peers.pdv(3, 3, peers.PATIENT.encode() * 5)))
        assert peer.read()[:1] == b"\x07"
    with node.peer() as peer:
        peer.associate(calling="STRANGER")
    node.scp.stop(5.0)
    said = "\n".join(f"{r.getMessage()} {r.__dict__.get('fields')} {r.exc_text}" for r in logged.records)
    assert "association ended" in said and "0xC000" in said and "STRANGER" in said
    assert "Sentinel" not in said and peers.INSTANCE not in said
    assert "Sentinel" not in str(node.metrics.snapshot())


# Clients of others.


def test_storescu_and_echoscu(listen: Listen, dcmtk: Callable[..., Any]) -> None:
    node = listen()
    where = ("-aec", "ACUTANCE", "127.0.0.1", node.port)
    assert dcmtk("echoscu", *where).returncode == 0
    path = str(get_testdata_file("CT_small.dcm", download=False))
    for option in ("-xe", "-xi", "-xb"):
        assert dcmtk("storescu", option, *where, path).returncode == 0
    compressed = str(get_testdata_file("MR_small_RLE.dcm", download=False))
    assert dcmtk("storescu", "-xr", *where, compressed).returncode == 0
    syntaxes = [about.syntax for _, about in node.spool.kept]
    assert syntaxes == [EXPLICIT, "1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.5"]


def test_pynetdicom_as_sender(listen: Listen) -> None:
    node = listen()
    sent = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    ae = AE("SENDER")
    ae.add_requested_context(sent.SOPClassUID, sent.file_meta.TransferSyntaxUID)
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate("127.0.0.1", node.port, ae_title="ACUTANCE")
    assert association.is_established
    for send in (association.send_c_echo, lambda: association.send_c_store(sent)):
        association._reactor_checkpoint.clear()  # else its own threads race for the answer
        time.sleep(0.05)
        assert send().Status == 0
    association.release()
    assert association.is_released
    assert len(node.spool.kept) == 1
