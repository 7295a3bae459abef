"""The page holds every number and is whole by itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
from acutance.bench import latency, record, report

ABOUT = {
    "cpu": "<Some & CPU>",
    "cpus_usable": 2,
    "gpu": {"name": "Board", "power_mode": "0 MAXN"},
    "load_before": 0.1,
    "commit": "abc",
    "date": "2026-01-02T03:04:05+00:00",
}
MS = record.summary([1.0, 2.0, 3.0, 41.5])


def rows(bench: str) -> list[dict[str, Any]]:
    if bench == "latency":
        timed = latency.Timed([1.0, 2.0, 41.5], [1.0, 2.0, 41.5], [{"network": 0.5, "assemble": 0.2}] * 3, 1)
        where = {"model": "ct-rt-x2", "size": 512, "backend": "b", "precision": "fp16", "load": "none"}
        return [{**where, **latency.row(timed, "paced 60 Hz", 60.0)}]
    return {
        "kernels": [{"case": "gather", "ms": MS, "gb_s": 3.0, "of_memcpy": 0.5, "wanted": 0.85}],
        "peers": [{"model": "ct-rt-x2", "size": 512, "way": "torch <eager>", "ms": MS, "ratio": 12.5}],
        "engines": [
            {
                "model": "ct-rt-x2",
                "size": 512,
                "precision": "fp16",
                "tile": 128,
                "batches": "1,2",
                "ms": MS,
                "channels_last": True,
            },
        ],
        "slice": [{"model": "ct-rt-x2", "size": 4096, "way": "acutance", "peak_mb": 432.1}],
    }[bench]


@pytest.mark.parametrize("bench", ["latency", "kernels", "peers", "engines", "slice"])
def test_every_benchmark_has_its_plots_and_numbers(bench: str) -> None:
    page = report.page([("a.json", {"bench": bench, "machine": ABOUT, "rows": rows(bench)})])
    assert "&lt;Some &amp; CPU&gt;" in page and "<Some" not in page
    assert "0 MAXN" in page
    found = {"latency": 2, "slice": 0}.get(bench, 1)
    assert page.count("<svg") == page.count("</svg>") == found
    wanted = {"latency": "41.5", "kernels": "0.85", "peers": "12.5", "engines": "128", "slice": "432"}
    assert f"<td>{wanted[bench]}</td>" in page
    assert "src=" not in page and "<link" not in page and "<script" not in page  # nothing comes from elsewhere


def test_plots_are_well_formed() -> None:
    for plot in report.plots("latency", rows("latency")):
        assert ET.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_command_writes_the_page(run: Callable[..., Any], tmp_path: Path) -> None:
    record.write(tmp_path / "a.json", "kernels", rows("kernels"), ABOUT)
    said = run("bench", "report", tmp_path / "a.json", "-o", tmp_path / "x.html")
    assert said.code == 0, said.err
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
    assert run("bench", "report", tmp_path / "none.json").code == 1
