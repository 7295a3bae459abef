"""The spool, killed after every step, with and without a power cut, and on a disk that fills up."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acutance.errors import OutputError, UsageError
from acutance.serve.dicom import part10
from acutance.serve.dicom.disk import Disk
from acutance.serve.dicom.entry import Item, Taken, key_of
from acutance.serve.dicom.part10 import Received
from acutance.serve.dicom.spool import FOLDERS, Limits, Spool, SpoolFull

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


class Killed(BaseException):
    """The process is gone: nothing that would clean up runs."""


class DyingDisk(Disk):
    """Does ``lives`` steps, and nothing from then on.

    A file is written in steps of its own, the last of which before the kill writes half. What was not flushed is kept
    in ``lost``: how to undo it, should the power fail as well.
    """

    def __init__(self, keep: Path, lives: int | None = None) -> None:
        self.lives, self.steps, self.keep = lives, 0, keep
        self.lost: list[Callable[[], Any]] = []
        keep.mkdir(exist_ok=True)

    def step(self) -> None:
        if self.lives is not None and self.steps >= self.lives:
            raise Killed
        self.steps += 1

    def power_cut(self) -> None:
        """Undo what a journaling file system would lose at worst."""
        for undo in reversed(self.lost):
            undo()
        self.lost.clear()

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[Any]:
        self.step()
        with super().create(path) if self.lives is None else path.open("xb") as file:
            self.lost.append(lambda: path.unlink(missing_ok=True))
            made = self.lost[-1]
            yield _Writer(self, file)
            file.flush()
            self.step()
            self.lost.remove(made)

    def touch(self, path: Path) -> None:
        self.step()
        super().touch(path)
        self.lost.append(lambda: path.unlink(missing_ok=True))

    def append(self, path: Path, line: bytes) -> None:
        self.step()
        super().append(path, line)

    def rename(self, path: Path, to: Path) -> None:
        self.step()
        super().rename(path, to)
        self.lost.append(lambda: to.rename(path))

    def unlink(self, path: Path) -> None:
        self.step()
        if path.exists():
            kept = self.keep / str(len(self.lost))
            shutil.copy2(path, kept)
            super().unlink(path)
            self.lost.append(lambda: shutil.copy2(kept, path))

    def make_folder(self, path: Path) -> None:
        self.step()
        made = not path.exists()
        super().make_folder(path)
        if made:
            self.lost.append(lambda: shutil.rmtree(path))

    def remove_folder(self, path: Path) -> None:
        self.step()
        if path.exists():
            super().remove_folder(path)
            self.lost.append(lambda: path.mkdir())

    def flush(self, folder: Path) -> None:
        self.step()
        super().flush(folder)
        self.lost.clear()


class _Writer:
    def __init__(self, disk: DyingDisk, file: Any) -> None:
        self.disk, self.file = disk, file

    def write(self, data: Any) -> None:
        try:
            self.disk.step()
        except Killed:
            self.file.write(bytes(data)[: len(data) // 2])
            self.file.flush()
            raise
        self.file.write(data)


SERIES = key_of("1.2.3")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of files are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs a disk that really flushes: what would be lost by a power cut is simulated."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def about(number: int) -> Received:
    return Received(CT, f"1.2.3.{number}", EXPLICIT, "SCANNER", "10.0.0.7")


def dataset(number: int) -> bytes:
    return bytes([number]) * (100 + number)


class World:
    """A sender that sends until it is told that all is well, a worker and two destinations, none of which forgets.

    The first instance goes at once, the others wait for their series; what is derived from them depends on its range.
    """

    def __init__(self, folder: Path, disks: Iterator[Disk], count: int = 3) -> None:
        self.folder, self.disks = folder, disks
        self.to_send = list(range(1, count + 1))
        self.acknowledged: list[int] = []
        self.got: dict[tuple[str, str, int], list[bytes]] = {}

    def run(self, cut: Sequence[bool] = ()) -> int:
        """Work until all is done, starting anew after each kill; return the kills."""
        cuts = iter(cut)
        for kills in itertools.count():
            disk = next(self.disks)
            spool = Spool(self.folder, disk=disk)
            try:
                spool.recover()
                self._work(spool)
                return kills
            except Killed:
                if next(cuts, False):
                    disk.power_cut()
            finally:
                spool.close()
        raise AssertionError

    def _work(self, spool: Spool) -> None:
        while True:
            while self.to_send:
                with contextlib.suppress(SpoolFull):
                    spool.receive(dataset(self.to_send[0]), about(self.to_send[0]))
                    self.acknowledged.append(self.to_send.pop(0))
            try:
                taken = spool.take(0)
            except OSError:
                continue
            if taken is not None:
                self._retry(lambda taken=taken: self._enhance(spool, taken))
            elif spool.waiting():
                self._retry(lambda: spool.freeze(SERIES, (0.0, float(len(spool.members(SERIES))))))
            elif not any([self._deliver(spool, "pacs"), self._deliver(spool, "archive")]):
                return

    def _retry(self, do: Callable[[], None]) -> None:
        for _ in range(3):
            try:
                return do()
            except OSError as e:
                assert e.errno == errno.ENOSPC
            except OutputError:
                pass
        raise AssertionError("it does not recover")

    def _enhance(self, spool: Spool, taken: Taken) -> None:
        number = int(part10.sender(taken.source).instance_uid.split(".")[-1])
        found = spool.frozen(SERIES)
        if number > 1 and found is None:
            spool.wait(taken, SERIES)
            return
        made = json.dumps([number, found if number > 1 else None]).encode()
        spool.add(taken, lambda file: [file.write(made[:5]), file.write(made[5:])])
        spool.send(taken, [(what, to) for to in ("pacs", "archive") for what in ("source", "derived")])

    def _deliver(self, spool: Spool, destination: str) -> bool:
        item = spool.next(destination, 0)
        if item is None:
            return False
        number = int(part10.sender(item.path.with_name("source.dcm")).instance_uid.split(".")[-1])
        self.got.setdefault((destination, item.what, number), []).append(item.path.read_bytes())
        spool.sent(item, {})
        return True

    def check(self, kills: int) -> None:
        """Hold what arrived against what was acknowledged."""
        assert sorted(self.acknowledged) == self.acknowledged
        for number in self.acknowledged:
            for destination, what in itertools.product(("pacs", "archive"), ("source", "derived")):
                found = self.got[destination, what, number]
                assert len(found) <= 1 + kills
                assert len(set(found)) == 1
                if what == "source":
                    assert found[0] == part10.head(about(number)) + dataset(number)
                else:
                    assert json.loads(found[0])[0] == number
        ranges = {
            json.dumps(json.loads(v[0])[1]) for (_, what, n), v in self.got.items() if what == "derived" and n > 1
        }
        assert len(ranges) <= 1
        for name in ("incoming", "ready", "work", "waiting", "sending", "dead"):
            assert not list((self.folder / name).iterdir()), name


def endless(*first: Disk) -> Iterator[Disk]:
    yield from first
    while True:
        yield Disk()


def steps_of(tmp_path: Path) -> int:
    """How many steps it takes when nothing happens."""
    disk = DyingDisk(tmp_path / "kept")
    world = World(tmp_path / "spool", endless(disk))
    world.run()
    world.check(0)
    return disk.steps


@pytest.mark.parametrize("power", [False, True])
def test_nothing_is_lost_by_a_kill_after_any_step(tmp_path: Path, power: bool) -> None:
    (tmp_path / "whole").mkdir()
    count = steps_of(tmp_path / "whole")
    assert count > 60
    for lives in range(count):
        place = tmp_path / str(lives)
        place.mkdir()
        world = World(place / "spool", endless(DyingDisk(place / "kept", lives)))
        world.check(world.run([power]))
        assert world.acknowledged == [1, 2, 3]
        shutil.rmtree(place)


@given(st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=6))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_by_many_kills(tmp_path: Path, kills: list[tuple[int, bool]]) -> None:
    place = tmp_path / "kills"
    place.mkdir()
    world = World(place / "spool", endless(*(DyingDisk(place / f"kept{i}", n) for i, (n, _) in enumerate(kills))))
    world.check(world.run([cut for _, cut in kills]))
    shutil.rmtree(place)


class FullDisk(DyingDisk):
    """Has no room at one step, and again afterwards."""

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def __init__(self, keep: Path, full_at: int) -> None:
        super().__init__(keep)
        self.full_at = full_at


def test_nothing_is_lost_by_a_disk_that_is_full_at_any_step(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    count = steps_of(tmp_path / "whole")
    for at in range(len(FOLDERS) + 4, count + 1):
        place = tmp_path / str(at)
        place.mkdir()
        disk = FullDisk(place / "kept", at)
        world = World(place / "spool", endless(disk, Disk()))
        world.run()
        again = World(place / "spool", endless(Disk()), 0)  # what was sent, but could not be crossed out, is sent again
        again.run()
        for key, found in again.got.items():
            world.got[key] += found
        world.check(1)
        shutil.rmtree(place)


def test_a_full_disk_is_told_to_the_sender_and_leaves_nothing(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path / "kept", 0)
    spool = Spool(tmp_path / "spool", disk=disk)
    spool.recover()
    for step in range(1, 6):  # open, two writes, flush, rename
        disk.steps, disk.full_at = 0, step
        with pytest.raises(SpoolFull, match="disk is full"):
            spool.receive(dataset(1), about(1))
        assert not [p for p in spool.folder.rglob("*") if p.is_file() and p.name != "lock"]
        assert spool.used == 0
        assert spool.take(0) is None
    disk.steps, disk.full_at = 0, 6
    spool.receive(dataset(1), about(1))


def test_other_errors_of_the_disk_are_no_full_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()

    def broken(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OutputError, match="Input/output error") as caught:
        spool.receive(dataset(1), about(1))
    assert not isinstance(caught.value, SpoolFull)
    assert not list((tmp_path / "spool" / "incoming").iterdir())


def test_the_quota_holds_for_what_is_received(tmp_path: Path) -> None:
    size = len(part10.head(about(1))) + len(dataset(1))
    spool = Spool(tmp_path / "spool", Limits(quota=2 * size))
    spool.recover()
    spool.receive(dataset(1), about(1))
    spool.receive(dataset(1), about(1))
    with pytest.raises(SpoolFull, match="may hold"):
        spool.receive(dataset(1), about(1))
    taken = spool.take(0)
    assert taken is not None
    assert spool.has_room(size)  # nothing is on its way out, so that nothing would ever make room
    spool.send(taken, [("source", "pacs")])
    assert not spool.has_room(1)
    item = spool.next("pacs", 0)
    assert item is not None
    spool.sent(item, {})
    assert spool.used == size
    assert spool.has_room(size)
    spool.receive(dataset(1), about(1))


def test_the_reserve_stays_free(tmp_path: Path) -> None:
    class Small(Disk):
        def free(self, folder: Path) -> int:
            return 1000

    spool = Spool(tmp_path / "spool", Limits(reserve=900), Small())
    spool.recover()
    with pytest.raises(SpoolFull, match="900"):
        spool.receive(bytes(101), about(1))


def test_bytes_stay_as_they_came_and_the_sender_is_remembered(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.receive(memoryview(b"as it came"), about(5))
    taken = spool.take(0)
    assert taken is not None
    assert part10.sender(taken.source) == about(5)
    _, offset = part10.split(taken.source)
    assert taken.source.read_bytes()[offset:] == b"as it came"


def test_only_the_owner_sees_the_spool(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        (tmp_path / "spool").mkdir(mode=0o777)
        world = World(tmp_path / "spool", endless())
        spool = Spool(tmp_path / "spool")
        spool.recover()
        spool.receive(dataset(1), about(1))
        spool.receive(dataset(2), about(2))
        for _ in range(2):
            taken = spool.take(0)
            assert taken is not None
            world._enhance(spool, taken)
        item = spool.next("pacs", 0)
        assert item is not None
        spool.sent(item, {})
        item = spool.next("pacs", 0)
        assert item is not None
        spool.give_up(item, {"reason": "no"})
    finally:
        os.umask(mask)
    for path in [spool.folder, *spool.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_one_process_has_a_spool(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool")
    first.recover()
    with pytest.raises(UsageError, match="is the spool of a process that runs"):
        Spool(tmp_path / "spool").recover()
    first.close()
    Spool(tmp_path / "spool").recover()


def sending(spool: Spool, number: int) -> list[Item]:
    spool.receive(dataset(number), about(number))
    taken = spool.take(0)
    assert taken is not None
    spool.send(taken, [("source", "pacs"), ("source", "archive")])
    found = [spool.next("pacs", 0), spool.next("archive", 0)]
    return [item for item in found if item is not None]


def test_what_was_given_up_lies_there_with_its_reason_and_can_be_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    pacs, archive = sending(spool, 1)
    spool.give_up(pacs, {"reason": "status A900"})
    assert not list((spool.folder / "dead").iterdir())  # the other one is to have it still
    spool.sent(archive, {})
    (dead,) = (spool.folder / "dead").iterdir()
    assert json.loads((dead / "dead.source.pacs").read_text()) == {"reason": "status A900"}
    assert (dead / "source.dcm").read_bytes().endswith(dataset(1))
    used = spool.used

    dead.rename(spool.folder / "retry" / dead.name)
    spool.revive()
    assert spool.used == used
    assert spool.next("archive", 0) is None
    item = spool.next("pacs", 0)
    assert item is not None
    assert item.path.read_bytes().endswith(dataset(1))
    spool.sent(item, {"status": "0000"})
    assert not [p for p in spool.folder.rglob("*") if p.suffix == ".dcm"]
    (journal,) = (spool.folder / "done").iterdir()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [(x["destination"], x["what"]) for x in lines] == [("archive", "source"), ("pacs", "source")]
    assert lines[1]["status"] == "0000"


def test_what_the_process_died_of_comes_last(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    for number in (1, 2):
        spool.receive(dataset(number), about(number))
    assert spool.take(0) is not None
    spool.close()
    again = Spool(tmp_path / "spool")
    again.recover()
    order = [again.take(0), again.take(0)]
    assert [(part10.sender(t.source).instance_uid, t.tries) for t in order if t] == [("1.2.3.2", 0), ("1.2.3.1", 1)]


def test_put_back_is_no_failure(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.receive(dataset(1), about(1))
    taken = spool.take(0)
    assert taken is not None
    spool.put_back(taken)
    taken = spool.take(0)
    assert taken is not None
    assert taken.tries == 0


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.close()
    for name in FOLDERS:
        (spool.folder / name / "README").write_text("not ours")
    Spool(tmp_path / "spool").recover()
    assert all((spool.folder / name / "README").exists() for name in FOLDERS if name != "incoming")


def test_old_journals_and_ranges_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.freeze("a" * 32, (0.0, 1.0))
    spool.freeze("b" * 32, (0.0, 1.0))
    os.utime(spool.folder / "series" / f"{'a' * 32}.json", (0, 0))
    spool.sweep(7)
    assert spool.frozen("a" * 32) is None
    assert spool.frozen("b" * 32) == (0.0, 1.0)


def test_a_series_keeps_its_range(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.recover()
    spool.freeze(SERIES, (0.1, 2.0 / 3))
    spool.freeze(SERIES, (5.0, 6.0))
    assert spool.frozen(SERIES) == (0.1, 2.0 / 3)
