"""From slices to the report, and what is made of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("rich")

from acutance.errors import InputError
from acutance.evaluate import report, table
from acutance.evaluate.report import LARGEST, SCORES, Record


def _record(
    method: str, subject: str, place: str, psnr: float, block: float = 0.0, fell_back=None, level=0.0
) -> Record:
    scores = dict.fromkeys((*SCORES, *LARGEST), 0.5) | {"psnr": psnr, "block_error": block, "level": level}
    return Record("CT", "psf 0", method, subject, place, scores, fell_back)


def _rows() -> list[dict]:
    records = [
        _record("cubic", "a", "a#1", 30, 7.5),
        _record("ours", "a", "a#1", 33),
        _record("cubic", "a", "a#2", 32, 9.0),
        _record("ours", "a", "a#2", 32.5, 0.25, "no model"),
        _record("cubic", "b", "b#1", 40, 1.0),
        _record("ours", "b", "b#1", 40.25),
    ]
    kinds = {"cubic": "rival", "ours": "model"}
    return report.rows(
        records, kinds, ["cubic", "ours"], {(2, "CT", "psf 0", "ours"): {"mtf50": 0.4, "overshoot": 0.1}}
    )


def test_rows_average_slices_then_subjects() -> None:
    cubic, ours = _rows()
    assert (cubic["method"], cubic["kind"], cubic["subjects"], cubic["slices"]) == ("cubic", "rival", 2, 3)
    assert cubic["scores"]["psnr"]["mean"] == pytest.approx((31 + 40) / 2)
    assert cubic["block_error"] == 9
    assert "against" not in cubic
    assert math.isnan(cubic["mtf50"])
    assert (ours["mtf50"], ours["overshoot"]) == (0.4, 0.1)
    assert ours["fell_back"] == "1 of 3 slices: no model"


def test_gains_are_paired_and_keep_the_worst() -> None:
    ours = _rows()[1]
    assert list(ours["against"]) == ["cubic"]
    gain = ours["against"]["cubic"]["psnr"]
    assert gain["mean"] == pytest.approx((1.75 + 0.25) / 2)
    assert gain["worst"] == 0.25
    assert gain["worst_slice"] == 0.25
    assert (gain["low"], gain["high"]) == (0.25, 1.75)


def test_another_precision_is_compared_with_fp32_and_its_mean_is_watched() -> None:
    records = [
        _record("ours", "a", "a#1", 33, level=1000.0),
        _record("ours int8-trt", "a", "a#1", 32.9, level=1000.5),
        _record("ours", "a", "a#2", 32.5, level=900.0),
        _record("ours int8-trt", "a", "a#2", 32.3, level=900.1),
        _record("ours", "b", "b#1", 40.25, level=800.0),
        _record("ours int8-trt", "b", "b#1", 40.0, level=799.2),
    ]
    kinds = dict.fromkeys(("ours", "ours int8-trt"), "model")
    ours, eight = report.rows(records, kinds, [], {})
    assert ours["against"] == {}
    lost = eight["against"]["ours"]
    assert lost["bias"] == {"mean": pytest.approx(-0.25), "worst": pytest.approx(-0.8)}
    assert lost["psnr"]["worst_place"] == "b#1" and lost["psnr"]["worst_slice"] == pytest.approx(-0.25)
    assert table.gain_cells([ours, eight])[0][-1] == "-0.25 (-0.80)"


def test_order_of_the_slices_does_not_matter() -> None:
    slices = [_record("cubic", s, f"{s}#{k}", 30 + 0.1 * k) for s in "ab" for k in range(7)]
    one = report.rows(slices, {"cubic": "rival"}, [], {})
    other = report.rows(slices[::-1], {"cubic": "rival"}, [], {})
    assert str(one) == str(other)


def test_json_holds_infinite_and_unknown_numbers(tmp_path: Path) -> None:
    found = {"rows": [{"x": math.inf, "y": [-math.inf, 1.25], "z": {"w": math.nan}, "name": "inf-x2", "n": 3}]}
    report.save(found, tmp_path / "quality.json")
    row = report.load(tmp_path / "quality.json")["rows"][0]
    assert row["x"] == math.inf
    assert row["y"] == [-math.inf, 1.25]
    assert math.isnan(row["z"]["w"])
    assert row["name"] == "inf-x2"
    assert row["n"] == 3


@pytest.mark.parametrize(("text", "wanted"), [("{", "is no JSON"), ("[]", "is no report"), (None, "cannot be read")])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str | None, wanted: str) -> None:
    path = tmp_path / "quality.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=wanted):
        report.load(path)
