"""The worker: what is made of an instance, when, and where it is sent."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

from acutance import Enhancer, dicom
from acutance.geometry import RangeCounter
from acutance.live.metrics import Metrics
from acutance.serve import logs
from acutance.serve.dicom import part10
from acutance.serve.dicom.disk import Disk
from acutance.serve.dicom.part10 import Received
from acutance.serve.dicom.settings import DicomSettings
from acutance.serve.dicom.spool import Limits, Spool
from acutance.serve.dicom.work import Worker
from acutance.serve.service import Context, Streams

EXPLICIT = "1.2.840.10008.1.2.1"
CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "SR": "1.2.840.10008.5.1.4.1.1.88.11",
}
SECRET = "DOE^JANE"


def header(modality: str, number: int, series: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CLASSES[modality], f"1.2.3.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.9", series, modality
    ds.PatientName, ds.PatientID, ds.SeriesDescription = SECRET, SECRET, f"{modality} {SECRET}"
    return ds


def picture(modality: str, number: int, series: str = "1.2.8", most: int = 900) -> Dataset:
    ds = header(modality, number, series)
    ds.Rows = ds.Columns = 16
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelSpacing, ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 1], [1, 0, 0, 0, 1, 0], [0, 0, number]
    if modality == "CT":
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = np.random.default_rng(number).integers(0, most, (16, 16), dtype=np.uint16).tobytes()
    return ds


def encoded(ds: Dataset) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    pydicom.filewriter.write_dataset(out, ds)
    return out.getvalue()


class House:
    """A spool, and a worker whose thread does not run."""

    def __init__(self, folder: Path, disk: Disk | None = None, limits: Limits | None = None, **more: Any) -> None:
        said = {
            "kind": "dicom",
            "name": "node",
            "receive": {"callers": ["*"]},
            "spool": {"folder": str(folder)},
            "enhance": {"threads": 1},
            "destination": [
                {"kind": "c-store", "name": name, "ae_title": "A", "address": "127.0.0.1"} for name in ("pacs", "old")
            ],
            **more,
        }
        self.spool = Spool(folder, limits or Limits(), disk)
        self.spool.recover()
        self.metrics = Metrics()
        context = Context(self.metrics, logs.of("node"), Streams())
        self.worker = Worker(DicomSettings.model_validate(said), self.spool, context)

    def put(self, ds: Dataset, syntax: str = EXPLICIT, calling_ae: str = "SCANNER") -> None:
        self.spool.receive(encoded(ds), Received(ds.SOPClassUID, ds.SOPInstanceUID, syntax, calling_ae, "::1"))

    def work(self) -> None:
        while (taken := self.spool.take(0)) is not None:
            self.worker.do(taken)

    def sent(self, destination: str = "pacs") -> list[tuple[str, pydicom.FileDataset]]:
        """Take what is to be sent: source or derived, and the object."""
        found = []
        while (item := self.spool.next(destination, 0)) is not None:
            found.append((item.what, pydicom.dcmread(item.path)))
            self.spool.sent(item, {})
        return found


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., House]:
    return lambda **more: House(tmp_path / "spool", **more)


def whats(found: list[tuple[str, Any]]) -> list[str]:
    return [what for what, _ in found]


def test_ct_goes_at_once_with_its_twin(house: Callable[..., House], tmp_path: Path) -> None:
    home = house()
    home.put(picture("CT", 1))
    home.work()
    (_, source), (what, derived) = home.sent()
    assert what == "derived"
    assert whats(home.sent("old")) == ["source", "derived"]
    path = tmp_path / "a.dcm"
    source.save_as(path)
    with Enhancer("auto", threads=1) as enhancer:
        (frame,) = dicom.read(path)
        wanted = enhancer.run(frame)
        assert derived.SOPInstanceUID == dicom.derived_uid(frame.source.header, enhancer.derivation(frame))  # type: ignore[union-attr]
    assert wanted.model == "ct-rt-x2"
    assert np.array_equal(derived.pixel_array, wanted.pixels)
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1"


def test_mr_waits_for_its_series_and_keeps_its_range(
    house: Callable[..., House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = house(series={"quiet_s": 5, "longest_s": 60})
    clock = [home.worker._started]
    monkeypatch.setattr("acutance.serve.dicom.spool.time.time_ns", lambda: int(clock[0] * 1e9))
    monkeypatch.setattr("acutance.serve.dicom.spool.time.time", lambda: clock[0])
    for number, most in ((1, 100), (2, 4000)):
        home.put(picture("MR", number, most=most))
        clock[0] += 4
    home.work()
    home.worker._close_series()
    assert home.spool.counts() == {"ready": 0, "waiting": 2, "sending": 0}
    clock[0] += 1.1
    home.put(picture("CT", 7))  # not looked at yet: what came before it might be of the series
    home.worker._close_series()
    assert home.spool.counts()["waiting"] == 0
    home.work()
    found = home.sent()
    counter = RangeCounter()
    for what, ds in found:
        if what == "source" and ds.Modality == "MR":
            ds.save_as(tmp_path / "m.dcm")
            for frame in dicom.read(tmp_path / "m.dcm"):
                counter.add(frame)
    low, high = counter.range()
    texts = {ds.DerivationDescription for what, ds in found if what == "derived" and ds.Modality == "MR"}
    assert len(texts) == 1
    assert f"{low:.6g} to {high:.6g} (series)" in texts.pop()

    home.put(picture("MR", 3, most=60000))  # comes late, after a restart
    home.spool.close()
    again = house(series={"quiet_s": 5, "longest_s": 60})
    again.work()
    ((_, _), (_, late)) = again.sent()
    assert f"{low:.6g} to {high:.6g} (series)" in late.DerivationDescription


def test_a_series_is_not_complete_while_what_came_since_was_not_looked_at(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = house(series={"quiet_s": 5, "longest_s": 60})
    clock = [home.worker._started]
    monkeypatch.setattr("acutance.serve.dicom.spool.time.time_ns", lambda: int(clock[0] * 1e9))
    monkeypatch.setattr("acutance.serve.dicom.spool.time.time", lambda: clock[0])
    home.put(picture("MR", 1))
    home.work()
    clock[0] += 1
    home.put(picture("MR", 2))
    clock[0] += 100  # the worker is slow
    home.worker._close_series()
    assert home.spool.counts()["waiting"] == 1
    home.work()
    home.worker._close_series()
    assert home.spool.counts()["waiting"] == 0


def test_classes_that_are_not_enhanced_go_untouched(house: Callable[..., House]) -> None:
    home = house()
    home.put(header("SR", 1, "1.2.8"))
    home.work()
    ((what, ds),) = home.sent()
    assert (what, ds.Modality) == ("source", "SR")


def test_rules_decide(house: Callable[..., House]) -> None:
    home = house(
        rule=[
            {"calling_ae": ["TRASH"], "action": "drop"},
            {"series_description": ["sr*"], "action": "forward", "destinations": ["old"]},
            {"modality": ["MR"], "model": "base", "destinations": ["pacs"], "send": ["derived"]},
        ]
    )
    home.put(picture("CT", 1), calling_ae="TRASH")
    home.put(header("SR", 2, "1.2.8"))
    home.put(picture("MR", 3))
    home.work()
    ((what, ds),) = home.sent("pacs")
    assert (what, ds.Modality) == ("derived", "MR")  # the base asks for no range
    assert whats(home.sent("old")) == ["source"]
    assert home.spool.used == 0
    counts = home.metrics.snapshot().counts["instances_total"]
    assert {dict(k)["outcome"]: n for k, n in counts.items()} == {"dropped": 1, "untouched": 1, "derived": 1}


def test_a_damaged_picture_goes_untouched_and_nothing_of_it_is_said(
    house: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    home = house(rule=[{"send": ["derived"]}])
    ds = picture("CT", 1)
    ds.PixelData = ds.PixelData[:-100]
    home.put(ds)
    burned = picture("CT", 2)
    burned.BurnedInAnnotation = "YES"
    home.put(burned)
    home.work()
    assert whats(home.sent()) == ["source", "source"]
    reasons = [getattr(r, logs.FIELDS)["reason"] for r in caplog.records if r.message == "not enhanced"]
    assert "cut short" in reasons[0] and "burned" in reasons[1]
    assert SECRET not in caplog.text and "1.2.3." not in caplog.text


def test_results_of_acutance_are_not_enhanced_again(house: Callable[..., House]) -> None:
    home = house()
    home.put(picture("CT", 1))
    home.work()
    derived = next(ds for what, ds in home.sent() if what == "derived")
    home.sent("old")
    back = Dataset(derived)
    home.put(back)
    home.work()
    assert whats(home.sent()) == ["source"]


def test_what_the_process_died_of_too_often_goes_untouched(house: Callable[..., House]) -> None:
    home = house(spool={"folder": "/unused", "tries": 2})
    home.put(picture("CT", 1))
    for _ in range(2):
        assert home.spool.take(0) is not None
        home.spool.close()
        home.spool.recover()
    home.work()
    assert whats(home.sent()) == ["source"]


def test_sending_again_makes_the_same_uid(house: Callable[..., House]) -> None:
    home = house()
    uids = set()
    for _ in range(2):
        home.put(picture("CT", 1))
        home.work()
        uids.add(str(home.sent()[1][1].SOPInstanceUID))
        home.sent("old")
    assert len(uids) == 1


class Full(Disk):
    """Has no room for what is derived, the first times."""

    times = 2

    def create(self, path: Path) -> Any:
        if path.name == "derived.dcm" and self.times:
            self.times -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)


def test_a_full_disk_delays_the_twin_and_loses_nothing(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = house(disk=Full())
    waits: list[float] = []
    monkeypatch.setattr(home.worker._stop, "wait", waits.append)
    home.put(picture("CT", 1))
    taken = home.spool.take(0)
    assert taken is not None
    home.worker._finish(taken)
    assert len(waits) == 2
    assert home.worker._trouble is None
    assert whats(home.sent()) == ["source", "derived"]


def test_the_quota_holds_the_worker_until_something_has_left(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = house(limits=Limits(quota=6000))
    home.put(picture("CT", 1))
    home.work()
    home.put(picture("CT", 2))
    taken = home.spool.take(0)
    assert taken is not None
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            home.sent("pacs")
            home.sent("old")
        return False

    monkeypatch.setattr(home.worker._stop, "wait", wait)
    home.worker.do(taken)
    assert len(waits) == 3
    assert whats(home.sent()) == ["source", "derived"]


def test_the_thread_works_and_ends(house: Callable[..., House]) -> None:
    home = house()
    home.worker.start()
    home.put(picture("CT", 1))
    item = None
    for _ in range(200):
        item = item or home.spool.next("pacs", 0.1)
        if item is not None:
            break
    home.worker.stop(10)
    assert item is not None and part10.sender(item.path).calling_ae == "SCANNER"
    assert home.worker.health() is None


def test_an_unknown_model_is_named_at_the_start(house: Callable[..., House]) -> None:
    from acutance.errors import ModelError

    home = house(rule=[{"model": "nosuch"}])
    with pytest.raises(ModelError, match="nosuch"):
        home.worker.start()
    home.worker.stop(1)
