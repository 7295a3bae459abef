"""A whole node between pynetdicom's SCU and SCP, and its page in the documentation."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("dicomweb_client")

from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, build_context, evt

from acutance.errors import AcutanceError, UsageError
from acutance.live.metrics import Metrics
from acutance.serve import config, logs
from acutance.serve.dicom import service
from acutance.serve.dicom.settings import CStore, DicomSettings, RetrySettings, SeriesSettings, SpoolSettings, Stow
from acutance.serve.dicom.spool import Spool
from acutance.serve.service import Context, Streams

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "dicom-node.md").read_text()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def slice_of(number: int, side: int = 16) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"1.2.3.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.9", "1.2.8", "CT"
    ds.RescaleSlope, ds.RescaleIntercept, ds.Rows, ds.Columns = 1, 0, side, side
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelSpacing = 16, 16, 15, [1, 1]
    ds.PixelData = bytes([number, 0] * side * side)
    return ds


@pytest.fixture
def pacs() -> Iterator[Callable[[int], SimpleNamespace]]:
    """Return a function that starts pynetdicom's SCP on a port; it keeps the UIDs that it gets."""
    running: list[Any] = []

    def start(port: int) -> SimpleNamespace:
        made = SimpleNamespace(got=[])

        def store(event: evt.Event) -> int:
            made.got.append(str(event.request.AffectedSOPInstanceUID))
            return 0

        ae = AE("PACS")
        ae.supported_contexts = [build_context(CT, [EXPLICIT])]
        running.append(ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]))
        return made

    yield start
    for server in running:
        server.shutdown()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., service.DicomNode]]:
    """Return a function that starts a node which sends to the destinations on these ports."""
    made: list[service.DicomNode] = []

    def start(port: int, name: str = "pacs", **more: Any) -> service.DicomNode:
        said = {
            "kind": "dicom",
            "name": "node",
            "receive": {"callers": ["*"], "port": 0},
            "spool": {"folder": str(tmp_path / "spool"), "reserve_mb": 0},
            "enhance": {"model": "base", "threads": 1},
            "destination": [
                {
                    "kind": "c-store",
                    "name": name,
                    "ae_title": "PACS",
                    "address": "127.0.0.1",
                    "port": port,
                    "retry": {"first_s": 0.05, "longest_s": 0.1},
                }
            ],
            **more,
        }
        context = Context(Metrics(), logs.of("node"), Streams())
        made.append(service.make(DicomSettings.model_validate(said), context))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop(10)


def send(node: service.DicomNode, *instances: Dataset) -> list[int]:
    ae = AE("SCANNER")
    association = ae.associate("127.0.0.1", node.port, [build_context(CT, EXPLICIT)], "ACUTANCE")
    assert association.is_established
    statuses = [association.send_c_store(ds).get("Status", -1) for ds in instances]
    association.release()
    return statuses


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_was_acknowledged_arrives_when_the_pacs_is_back(
    pacs: Callable[[int], Any], node: Callable[..., service.DicomNode]
) -> None:
    port = free_port()
    one = node(port)
    assert send(one, slice_of(1), slice_of(2)) == [0, 0]
    wait_for(lambda: one.health() is not None)
    assert "'pacs' takes nothing: cannot be reached" in str(one.health())
    there = pacs(port)
    wait_for(lambda: len(there.got) == 4)
    assert {"1.2.3.1", "1.2.3.2"} < set(there.got) and len(set(there.got)) == 4
    wait_for(lambda: one.spool.used == 0)
    assert one.health() is None


def test_what_was_acknowledged_arrives_after_a_restart(
    pacs: Callable[[int], Any], node: Callable[..., service.DicomNode]
) -> None:
    port = free_port()
    one = node(port)
    assert send(one, slice_of(1)) == [0]
    one.stop(10)
    there = pacs(port)
    node(port)
    wait_for(lambda: len(there.got) == 2)


def test_a_sender_is_told_that_the_quota_is_used_up(
    pacs: Callable[[int], Any], node: Callable[..., service.DicomNode], tmp_path: Path
) -> None:
    port = free_port()
    one = node(port, spool={"folder": str(tmp_path / "spool"), "reserve_mb": 0, "quota_mb": 1})
    statuses = [send(one, slice_of(n, 256))[0] for n in range(1, 10)]
    taken = statuses.count(0)
    assert 1 <= taken < 9 and set(statuses) == {0, 0xA700}
    there = pacs(port)
    wait_for(lambda: len(there.got) == 2 * taken)
    wait_for(lambda: one.spool.used == 0)
    assert send(one, slice_of(20, 256)) == [0]


def test_what_nobody_is_named_for_any_more_is_given_up(node: Callable[..., service.DicomNode], tmp_path: Path) -> None:
    one = node(free_port(), "old")
    assert send(one, slice_of(1)) == [0]
    wait_for(lambda: one.spool.counts()["sending"] == 2)
    one.stop(10)
    two = node(free_port(), "new")
    (dead,) = (tmp_path / "spool" / "dead").iterdir()
    assert sorted(p.name for p in dead.glob("dead.*")) == ["dead.derived.old", "dead.source.old"]
    assert two.spool.counts()["sending"] == 0


def test_a_node_that_cannot_listen_gives_its_spool_back(node: Callable[..., service.DicomNode], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AcutanceError):
            node(free_port(), receive={"callers": ["*"], "port": taken.getsockname()[1]})
    Spool(tmp_path / "spool").recover()
    assert not [t.name for t in threading.enumerate() if t.name.startswith(("send to", "node worker"))]


def test_two_nodes_do_not_share_a_spool(node: Callable[..., service.DicomNode]) -> None:
    node(free_port())
    with pytest.raises(UsageError, match="another folder"):
        node(free_port())


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_shows_is_a_configuration(tmp_path: Path) -> None:
    first, *others = blocks()
    (tmp_path / "node.toml").write_text(
        first + '\n[[service.destination]]\nkind = "stow"\nname = "archive"\nurl = "http://a"\n'
    )
    (found,) = config.read(tmp_path / "node.toml").services
    assert isinstance(found, DicomSettings)
    assert len(others) == 3
    (tmp_path / "rules.toml").write_text((tmp_path / "node.toml").read_text() + others[0])
    (found,) = config.read(tmp_path / "rules.toml").services
    assert isinstance(found, DicomSettings) and [r.action for r in found.rule][::3] == ["drop", "forward"]
    start = first[: first.index("[[service.destination]]")]
    (tmp_path / "to.toml").write_text(start + others[1])
    (found,) = config.read(tmp_path / "to.toml").services
    assert isinstance(found, DicomSettings)
    assert [type(d) for d in found.destination] == [Stow, CStore]
    receive = first[first.index("[service.receive]") : first.index("[service.spool]")]
    (tmp_path / "tls.toml").write_text(first.replace(receive, others[2]))
    (found,) = config.read(tmp_path / "tls.toml").services
    assert isinstance(found, DicomSettings) and found.receive.tls is not None


@pytest.mark.parametrize("model", [DicomSettings, SpoolSettings, SeriesSettings, RetrySettings, CStore, Stow])
def test_the_page_names_every_setting_and_its_default(model: Any) -> None:
    for name, field in model.model_fields.items():
        assert name in PAGE, name
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert re.search(rf"`?{name}`?( =)? {field.default:g}\b", PAGE), name


def test_the_page_names_every_metric() -> None:
    assert all(f"acutance_{name}" in PAGE for name in service._NUMBERS)
