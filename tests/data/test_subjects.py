"""People stand in one split, whoever says what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

pytest.importorskip("dicomanonymizer")

from acutance.data import subjects
from acutance.data.subjects import Fractions, Line, Place, Table
from acutance.deidentify.key import Key
from acutance.errors import InputError, UsageError

FRACTIONS = Fractions("train=0.6,val=0.2,test=0.2")

LINKS = strategies.lists(strategies.frozensets(strategies.sampled_from("abcdefgh"), min_size=1, max_size=3), max_size=8)


@hypothesis.given(LINKS)
def test_people_are_what_hangs_together_by_links(links: list[frozenset[str]]) -> None:
    owner = subjects.people(links)
    parts: list[set[str]] = []
    for found in links:
        touching = [p for p in parts if p & found]
        parts = [p for p in parts if not p & found] + [set(found).union(*touching)]
    for i, a in enumerate(links):
        for j, b in enumerate(links):
            together = any(a <= p and b <= p for p in parts)
            assert (owner[i] == owner[j]) == together


@hypothesis.given(LINKS, LINKS)
def test_nobody_stands_in_two_splits_after_any_two_builds(
    first: list[frozenset[str]], second: list[frozenset[str]]
) -> None:
    there = list(zip(first, subjects.places(first, [None] * len(first), [], FRACTIONS, None), strict=True))
    try:
        added = subjects.places(second, [None] * len(second), there, FRACTIONS, None)
    except UsageError as e:
        assert "are one patient by these files" in str(e)
        return
    everyone = there + list(zip(second, added, strict=True))
    splits: dict[str, set[str]] = {}
    for found, place in everyone:
        for link in found:
            splits.setdefault(link, set()).add(place.split)
    assert all(len(s) == 1 for s in splits.values())


def test_fractions_are_kept_and_the_same_each_time() -> None:
    found = [FRACTIONS.split_of(f"s{i}") for i in range(3000)]
    assert found == [FRACTIONS.split_of(f"s{i}") for i in range(3000)]
    assert found.count("train") == pytest.approx(1800, abs=100) and found.count("val") == pytest.approx(600, abs=80)
    assert {Fractions("val=1").split_of(f"s{i}") for i in range(50)} == {"val"}


@pytest.mark.parametrize("text", ["", "train=0.5", "train=0.9,dev=0.1", "train=1.5,val=-0.5", "train=x"])
def test_wrong_fractions_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="adding up to 1"):
        Fractions(text)


def test_two_splits_of_one_person_are_refused_with_the_lines_of_the_table(tmp_path: Path) -> None:
    table = tmp_path / "splits.csv"
    one, two = frozenset({"patient a", "study"}), frozenset({"patient b", "study"})
    lines = [Line(2, "", "a", "train"), Line(3, "", "b", "val")]
    with pytest.raises(UsageError, match=r"lines 2 \(train\) and 3 \(val\) are about one patient"):
        subjects.places([one, two], lines, [], None, table)
    with pytest.raises(UsageError, match="line 3 wants val for a patient who stands in train"):
        subjects.places([two], lines[1:], [(one, Place("s1", "train"))], None, table)
    there = [(frozenset({"a"}), Place("s1", "train")), (frozenset({"b"}), Place("s2", "test"))]
    with pytest.raises(UsageError, match=r"s2 \(test\) and s1 \(train\) of the data set are one patient"):
        subjects.places([frozenset({"a", "b"})], [None], there, FRACTIONS, None)


def test_who_no_line_names_has_no_place_but_by_a_link() -> None:
    links = [frozenset({"a", "x"}), frozenset({"b", "x"}), frozenset({"c"})]
    found = subjects.places(links, [Line(2, "", "a", "test"), None, None], [], None, None)
    assert found[0] == found[1] and found[0] is not None and found[0].split == "test" and found[2] is None


def test_a_table_knows_files_by_the_longest_path(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text(f"path,patient,split\nward/1,,train\nward/1/late,Anna,val\n{tmp_path}/b.png,,test\n,P7,test\n")
    table = Table(file)

    def line(path: str, patient: str = "") -> str | None:
        found = table.line_of(tmp_path / path, tmp_path, patient)
        return found and f"{found.number} {found.patient} {found.split}"

    assert line("ward/1/early/x") == "2  train"
    assert line("ward/1/late/x", "P7") == "3 Anna val"
    assert line("b.png") == "4  test"
    assert line("ward/10/x") is None and line("ward/10/x", "P7") == "5 P7 test"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("path,split\na,dev\n", "line 2: wanted a path or a patient, and a split of"),
        ("path,split\n", "has no line below"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(InputError, match=why):
        Table(tmp_path / "splits.csv")


def test_keys_are_made_once_and_checked(tmp_path: Path) -> None:
    first, second = Key.make(tmp_path / "a"), Key.make(tmp_path / "b")
    assert first.token("x") == Key(tmp_path / "a").token("x") != second.token("x")
    assert first.token("x", "y") != first.token("xy")
    (tmp_path / "c").write_text("no key")
    with pytest.raises(InputError, match="holds no key; wanted 64 hexadecimal digits"):
        Key(tmp_path / "c")


Build = Callable[..., Any]


def test_two_ids_with_one_study_or_frame_are_one_subject(build: Build, make_slice: Build, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    make_slice(folder / "a", "PAT-1", StudyInstanceUID="1.3.5")
    make_slice(folder / "b", "PAT-2", StudyInstanceUID="1.3.5")
    make_slice(folder / "c", "PAT-3", FrameOfReferenceUID="1.2.826.390.8")
    make_slice(folder / "d", "PAT-4", FrameOfReferenceUID="1.2.826.390.8")
    make_slice(folder / "e", "PAT-5", FrameOfReferenceUID="1.2.840.10008.1.4.1.1")
    make_slice(folder / "f", "PAT-6", FrameOfReferenceUID="1.2.840.10008.1.4.1.1")
    assert build(folder, "-o", tmp_path / "set").code == 0
    assert len({p.parent.name for p in (tmp_path / "set").glob("*/*/*.npy")}) == 4


def test_a_table_makes_one_person_of_files_that_name_none(
    build: Build, make_slice: Build, make_picture: Build, tmp_path: Path
) -> None:
    folder, file = tmp_path / "in", tmp_path / "splits.csv"
    make_slice(folder / "ct" / "a", "PAT-1", IssuerOfPatientID="Charlottenhospital")
    make_picture(folder / "us" / "b.png", 1)
    make_picture(folder / "us" / "c.png", 2)
    file.write_text("path,patient,split\nus/b.png,PAT-1,val\nus/c.png,PAT-2,test\n")
    said = build(folder, "-o", tmp_path / "set", "--split", file, "--modality", "US")
    assert said.code == 0, said.err
    (ct,), pictures = (sorted((tmp_path / "set" / m).glob("*/*.npy")) for m in ("CT", "US"))
    assert len(pictures) == 2 and len({ct.parent.name, *(p.parent.name for p in pictures)}) == 2
    rows = (tmp_path / "set" / "MANIFEST.csv").read_text()
    assert rows.count(f"{ct.parent.name},") == 2 and rows.count(",val,") == 2 and rows.count(",test,") == 1


def test_a_table_decides_and_is_held_to_it(build: Build, make_slice: Build, tmp_path: Path) -> None:
    folder, file = tmp_path / "in", tmp_path / "splits.csv"
    make_slice(folder / "a", "PAT-1")
    make_slice(folder / "b", "PAT-2")
    make_slice(folder / "c", "PAT-3")
    file.write_text("patient,split\nPAT-1,test\nPAT-2,val\n")
    said = build(folder, "-o", tmp_path / "set", "--split", file)
    assert said.code == 3 and "is named by no line of the table of splits" in said.err
    assert said.err.count("\n") == 1 and f"{folder / 'c'}" in said.err
    file.write_text("patient,split\nPAT-1,train\n")
    said = build(folder, "-o", tmp_path / "set", "--split", file)
    assert said.code == 2 and "line 2 wants train for a patient who stands in test of the data set" in said.err
    assert "PAT-1" not in said.err
