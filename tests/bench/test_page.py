"""Numbers reach the page as they stand in the result files."""

from __future__ import annotations

import json

import pytest
from acutance.bench import latency, record
from acutance.bench import page as pages
from acutance.bench import slice as case

from acutance.errors import InputError

ABOUT = {
    "cpu": "Some CPU",
    "cpus_usable": 2,
    "memory_gib": 8.0,
    "governor": "performance",
    "load_before": 0.1,
    "python": "3.11.7",
    "packages": {"numpy": "2.0"},
    "commit": "abc",
    "date": "2026-01-02T03:04:05+00:00",
}


def test_the_page_shows_every_row(tmp_path):
    slices, kernels, page = tmp_path / "s.json", tmp_path / "k.json", tmp_path / "speed.md"
    ms = record.summary([1.0, 2.0, 3.0])
    rows = [
        {"model": "ct-rt-x2", "size": 512, "way": "acutance", "ms": ms, "ratio": 1.0},
        {"model": "ct-rt-x2", "size": 512, "way": case.FLOOR, "ms": ms, "ratio": 0.8},
        {"model": "ct-rt-x2", "size": 512, "way": case.MONAI, "ms": ms, "ratio": 2.5},
        {"model": "ct-rt-x2", "size": 4096, "way": "acutance", "peak_mb": 432.1},
        {"way": case.COMMAND, "input": "a.dcm", "ms": record.summary([900.0, 1400.0]), "cpu_ms": record.summary([700])},
    ]
    record.write(slices, "slice", rows, ABOUT)
    record.write(kernels, "kernels", [{"case": "fill", "ms": ms, "gb_s": 3.0, "of_memcpy": 0.5, "wanted": 0.4}], ABOUT)
    pages.write([slices, kernels], page)
    text = page.read_text()
    assert "| ct-rt-x2 | 512 x 512 | acutance | 2.0 | 1.00 |" in text
    assert "| our time over bare ONNX Runtime's | <= 1.15 | 1.25 to 1.25 | missed |" in text
    assert "| MONAI's time over ours | >= 1.8 | 2.50 to 2.50 | holds |" in text
    assert "`ct-rt-x2`, 4096 x 4096 16-bit | < 700 MB | 432 MB | holds |" in text
    assert "`a.dcm`, command to file | < 1.5 s | 1.15 s, of it 0.70 s on processors | holds |" in text
    assert "| fill | 2.00 | 3.00 | 0.50 | 0.40 |" in text
    assert text.count("Some CPU, 2 CPUs") == 2


def test_frames_reach_the_page(tmp_path):
    timed = latency.Timed([1.0, 2.0, 41.5], [1.0, 2.0, 41.5], dropped=7)
    where = {"model": "ct-rt-x2", "size": 512, "load": "none"}
    rows = [{**where, **latency.row(timed, "paced 60 Hz", 60.0)}, {**where, **latency.row(timed, "back to back", None)}]
    record.write(tmp_path / "l.json", "latency", rows, ABOUT)
    pages.write([tmp_path / "l.json"], tmp_path / "speed.md")
    text = (tmp_path / "speed.md").read_text()
    assert "| 512 x 512 | none | paced 60 Hz | 3 | 2.0 | 40.7 | 41.5 | 20.2 | 2.0 | 1 | 7 |" in text
    assert "| 512 x 512 | none | back to back | 3 | 2.0 | 40.7 | 41.5 | 20.2 |  |  |  |" in text


def test_what_has_no_section_is_named(tmp_path):
    record.write(tmp_path / "e.json", "engines", [], ABOUT)
    with pytest.raises(InputError, match="no section for `bench engines`"):
        pages.write([tmp_path / "e.json"], tmp_path / "speed.md")
    assert not (tmp_path / "speed.md").exists()


def test_what_shaped_a_number_is_recorded(tmp_path):
    record.write(tmp_path / "r.json", "slice", [], record.machine())
    said = json.loads((tmp_path / "r.json").read_text())["machine"]
    assert said["load_before"] >= 0 and said["load_after"] >= 0 and "gpu" in said
    assert said["cpus_usable"] >= 1 and said["packages"]["numpy"] and said["commit"] and said["cpu"]


def test_calls_are_timed_in_turn():
    order = []
    times = record.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert [len(t) for t in times.values()] == [2, 2]
