"""Which files are meant, and under which names their results go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acutance.cli import inputs
from acutance.errors import UsageError


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def places(found: list[inputs.Input]) -> list[str]:
    return [i.place.as_posix() for i in found]


def test_a_folder_is_searched_in_the_order_of_names_and_keeps_its_paths(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "b/2", "b/10", "a", "b/c/d", "z")
    found, skipped = inputs.collect([str(root)], [], tmp_path / "out")
    assert places(found) == ["a", "z", "b/10", "b/2", "b/c/d"] and not skipped
    assert [i.path.read_text() for i in found] == places(found)


def test_folders_among_several_inputs_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "one/a", "two/a", "three/x/a")
    monkeypatch.chdir(tmp_path / "one")
    found, _ = inputs.collect([".", "../two", "../three/x/a"], [], tmp_path / "out")
    assert places(found) == ["one/a", "two/a", "a"]


def test_a_list_keeps_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "s/1/a", "s/2/a", "t/b", "u")
    monkeypatch.chdir(tmp_path)
    lines = ["./s/1/a\n", "s/2/a\r\n", "\n", str(tmp_path / "t"), "s/../u\n"]
    found, skipped = inputs.collect(["-"], lines, tmp_path / "out")
    assert places(found) == ["s/1/a", "s/2/a", f"{tmp_path.as_posix()[1:]}/t/b", "u"] and not skipped


def test_files_named_twice_are_taken_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a", "b")
    (root / "c").symlink_to(root / "a")
    found, skipped = inputs.collect([str(root), str(root / "b"), str(root)], [], tmp_path / "out")
    assert places(found) == ["in/a", "in/b"]
    assert [(Path(s.path).name, s.counts) for s in skipped] == [("c", False)]
    assert f"same file as {root / 'a'}" in skipped[0].reason


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    root, other = tree(tmp_path / "in", "a"), tree(tmp_path / "other", "b")
    (root / "loop").symlink_to(root)
    (root / "there").symlink_to(other)
    (other / "back").symlink_to(root)
    found, _ = inputs.collect([str(root)], [], tmp_path / "out")
    assert places(found) == ["a", "there/b"]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a", ".acutance-0123456789abcdef.tmp")
    (root / "broken").symlink_to(root / "none")
    os.mkfifo(root / "pipe")
    found, skipped = inputs.collect([str(root), str(tmp_path / "none")], [], tmp_path / "out")
    assert places(found) == ["in/a"]
    reasons = {Path(s.path).name: s.reason for s in skipped}
    assert reasons == {
        "broken": "cannot be read (No such file or directory)",
        "pipe": "is no regular file",
        "none": "cannot be read (No such file or directory)",
    }
    assert all(s.counts for s in skipped)


def test_a_folder_that_cannot_be_searched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "in", "a", "closed/b")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, skipped = inputs.collect([str(root)], [], tmp_path / "out")
    assert places(found) == ["a"]
    assert [(Path(s.path).name, s.reason) for s in skipped] == [("closed", "cannot be searched (Permission denied)")]


def test_the_output_folder_inside_a_searched_one_is_left_out_by_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a", "out/a_x2", "sub/out/b")
    found, skipped = inputs.collect([str(root)], [], root / "out")
    assert places(found) == ["a", "sub/out/b"]
    assert [(s.path, s.counts) for s in skipped] == [(str(root / "out"), False)]
    assert places(inputs.collect([str(root)], [], root)[0]) == ["a", "out/a_x2", "sub/out/b"]


@pytest.mark.parametrize(
    ("name", "kind", "scale", "result"),
    [
        ("a.dcm", "dicom", 2, "a_x2.dcm"),
        ("a.b.DCM", "dicom", 3, "a.b_x3.DCM"),
        ("IM0001", "dicom", 2, "IM0001_x2"),
        ("1.2.840.113.7", "dicom", 2, "1.2.840.113.7_x2"),
        ("scan.ima", "dicom", 2, "scan_x2.ima"),
        ("scan.img", "dicom", 2, "scan_x2.img"),
        ("scan.png", "dicom", 2, "scan.png_x2.dcm"),
        ("scan.nii.gz", "dicom", 2, "scan.nii.gz_x2.dcm"),
        ("a.nii.gz", "nifti", 2, "a_x2.nii.gz"),
        ("a.b.nii", "nifti", 4, "a.b_x4.nii"),
        ("a.gz", "nifti", 2, "a.gz_x2.nii.gz"),
        ("a.PNG", "png", 2, "a_x2.PNG"),
        ("a.jpg", "png", 2, "a.jpg_x2.png"),
        ("a.JPEG", "jpeg", 2, "a_x2.png"),
        ("a", "jpeg", 2, "a_x2.png"),
        ("a.tiff", "tiff", 2, "a_x2.tiff"),
        (".hidden", "tiff", 2, ".hidden_x2.tif"),
    ],
)
def test_names_of_results(name: str, kind: str, scale: int, result: str) -> None:
    assert inputs.result_name(name, kind, scale) == result


def test_out_is_a_file_for_one_file_and_a_folder_otherwise(tmp_path: Path) -> None:
    item = inputs.Input(Path("a.png"), Path("a.png"))
    assert inputs.target_of(item, "png", 2, str(tmp_path / "b.png"), single=True) == tmp_path / "b.png"
    for out in (str(tmp_path), f"{tmp_path}/new/"):
        assert inputs.target_of(item, "png", 2, out, single=True) == Path(out) / "a_x2.png"
    nested = inputs.Input(Path("s/t/a.png"), Path("t/a.png"))
    assert inputs.target_of(nested, "png", 2, "out", single=False) == Path("out/t/a_x2.png")
    with pytest.raises(UsageError, match=r"ends in \.png"):
        inputs.target_of(item, "png", 2, str(tmp_path / "b.dcm"), single=True)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="need a folder"):
        inputs.check_out(str(tmp_path / "file"), single=False)
    inputs.check_out(str(tmp_path / "file"), single=True)
