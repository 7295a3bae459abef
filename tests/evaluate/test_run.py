"""The protocol itself: what a perfect, a shifted and an offset result score, and the numbers of one fixed slice."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

pytest.importorskip("skimage")

from acutance.enhancer import Enhancer
from acutance.errors import UsageError
from acutance.evaluate import methods, run, scans, score
from acutance.evaluate.methods import Input, Method
from acutance.geometry import Frame

CUBIC, NEAREST = Method("cubic", "rival"), Method("nearest", "rival")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ct-abdomen.dcm"


def _wave(shift: float = 0.0, rows: int = 128) -> np.ndarray:
    """A CT slice of one wave of 0.1 cycles per pixel and 1000 HU, moved to the left."""
    at = np.arange(rows) + shift
    return (1000 * np.cos(2 * np.pi * 0.1 * at))[None, :].repeat(rows, 0).astype(np.float32)


def _measure(truth: np.ndarray, result: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(run, "enlarge", lambda method, picture: (result, None))
    small = score.degradations_of("CT")[0].apply(truth, 2)
    found = list(run.measure(truth, Input(small, "CT", 2), (-1024, 3071), [CUBIC]))
    assert len(found) == 1
    return found[0][1]


def test_a_perfect_result_scores_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = _measure(_wave(), _wave(), monkeypatch)
    assert scores["psnr"] == scores["psnr_fg"] == math.inf
    assert scores["ssim"] == pytest.approx(1, abs=1e-6)
    assert scores["haarpsi"] == pytest.approx(1, abs=1e-6)
    assert scores["fine_energy"] == 1
    assert scores["block_error"] < 1e-3


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_a_shift_loses_what_it_must(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference of two waves is a wave of ``2 sin(pi f shift)`` times the height."""
    mse = (1000 * 2 * math.sin(math.pi * 0.1 * shift)) ** 2 / 2
    scores = _measure(_wave(), _wave(shift), monkeypatch)
    assert scores["psnr"] == pytest.approx(10 * math.log10(4095**2 / mse), abs=0.01)
    assert scores["haarpsi"] < 0.9


def test_a_constant_offset_shows_in_the_block_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = _measure(_wave(), _wave() + 5, monkeypatch)
    assert scores["block_error"] == pytest.approx(5, abs=1e-3)
    assert scores["psnr"] == pytest.approx(20 * math.log10(4095 / 5), abs=1e-3)


def test_an_error_outside_the_foreground_counts_only_in_the_full_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.full((128, 128), -1000, np.float32)
    truth[:, :60] = _wave()[:, :60] + 600
    result = truth.copy()
    result[:, 80:] += 50
    scores = _measure(truth, result, monkeypatch)
    assert scores["psnr_fg"] == math.inf
    assert scores["psnr"] == pytest.approx(10 * math.log10(4095**2 / (50**2 * 44 / 120)), abs=0.01)


def test_an_error_at_the_border_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _wave()
    result[:4] = result[-4:] = result[:, :4] = result[:, -4:] = 0
    assert _measure(_wave(), result, monkeypatch)["psnr"] == math.inf
    result[4, 60] += 100
    assert _measure(_wave(), result, monkeypatch)["psnr"] < 100


# One slice of the examples with `base`. A change here is a change of the protocol: raise score.PROTOCOL.
KEYS = ("psnr", "psnr_fg", "ssim", "ssim_fg", "haarpsi", "haarpsi_fg", "fine_energy", "block_error")
PINNED = {
    "psf 0": (44.76352, 41.83077, 0.98332, 0.97288, 0.86592, 0.85226, 0.15549, 153.25),
    "psf 0.4": (44.50286, 41.55772, 0.98240, 0.97129, 0.86010, 0.84614, 0.13076, 143.0),
    "psf 0.8": (42.56565, 39.55568, 0.97406, 0.95691, 0.80987, 0.79524, 0.03795, 90.25),
    "psf 1.2": (40.67226, 37.62157, 0.96288, 0.93759, 0.75340, 0.74051, 0.00997, 54.25),
}


@pytest.mark.parametrize("degradation", score.degradations_of("CT"), ids=lambda d: d.name)
def test_numbers_of_one_slice_are_pinned(degradation: score.Degradation) -> None:
    header = pydicom.dcmread(EXAMPLE)
    truth = (header.pixel_array * header.RescaleSlope + header.RescaleIntercept).astype(np.int16)
    picture = Input(degradation.apply(truth, 2), "CT", 2)
    base = Method("base", "model", "base")
    (_, scores, _), (_, cubic, _) = run.measure(truth, picture, (-1024, 3071), [base, CUBIC])
    assert str(scores) == str(cubic)  # as text, in which NaN equals NaN
    assert score.PROTOCOL == 1
    assert [scores[k] for k in KEYS] == pytest.approx(PINNED[degradation.name], abs=2e-4)


def test_costly_scores_of_repeated_pixels_are_known() -> None:
    """Repeated pixels keep each block and all of the noise's variance."""
    truth = np.random.default_rng(1).integers(-1000, 1000, (128, 128)).astype(np.int16)
    row = score.degradations_of("CT")[0]
    picture = Input(row.apply(truth, 2), "CT", 2)
    costly = run.Costly(row, None, noise=True)
    found = {m.name: s for m, s, _ in run.measure(truth, picture, (-1024, 3071), [NEAREST, CUBIC], costly)}
    assert found["nearest"]["noise_power"] == pytest.approx(1, abs=0.03)
    # Keys' cubic at quarter-pixel phases keeps (sum of squared weights)^2 of white noise.
    taps = np.array([-9, 111, 29, -3]) / 128
    assert found["cubic"]["noise_power"] == pytest.approx(float((taps**2).sum() ** 2), abs=0.03)
    assert found["nearest"]["consistency"] == 0
    assert 0 < found["cubic"]["vif"] < 1
    plain = next(run.measure(truth, picture, (-1024, 3071), [CUBIC]))[1]
    assert all(math.isnan(plain[k]) for k in ("vif", "consistency", "noise_power"))


def test_costly_scores_are_taken_of_some_slices_spread_evenly(tmp_path: Path) -> None:
    _set(tmp_path)
    tasks = run.plan(tmp_path, "val", "CT", [CUBIC], 2)
    assert sorted(tasks[0].costly | tasks[1].costly) == [1, 3, 5, 8, 10, 13, 15, 17]
    assert sorted(tasks[0].lesions | tasks[1].lesions) == [4, 14]
    assert run.spread(range(10), 0) == list(range(10))


def test_mtf50_of_the_edge_is_lost_with_the_point_spread() -> None:
    found = run.edges("CT", [NEAREST, CUBIC], 2)
    cubic = [found[2, "CT", d.name, "cubic"]["mtf50"] for d in score.degradations_of("CT")]
    assert cubic == sorted(cubic, reverse=True)
    assert cubic[0] == pytest.approx(0.21, abs=0.01)
    zero = run.edges("MR", [Method("zero-filled", "rival")], 2)[2, "MR", "k-space", "zero-filled"]
    assert zero["mtf50"] == pytest.approx(0.25, abs=0.01)
    assert zero["overshoot"] == pytest.approx(0.07, abs=0.015)  # Gibbs' 9 %, less what the pixels average away
    assert found[2, "CT", "psf 0", "nearest"]["overshoot"] < 0.005


def _set(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,split,modality,subject_id,source,licence"]
    for subject in ("a", "b"):
        voxels = np.full((64, 48, 20), -1000, np.int16)
        voxels[10:50, 8:40, 1:] = rng.normal(40, 200, (40, 32, 19))
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 3.0, 1.0])), folder / f"{subject}.nii.gz")
        lines.append(f"{subject}.nii.gz,val,CT,{subject},x,y")
    (folder / "MANIFEST.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_truth_is_measured_once_in_any_number_of_processes(tmp_path: Path) -> None:
    _set(tmp_path)
    tasks = run.plan(tmp_path, "val", "CT", [NEAREST, CUBIC], 2)
    assert [len(t.places) for t in tasks] == [16, 3, 16, 3]
    done: list[int] = []
    records, findings = run.run(tasks, 1, done.append)
    assert sum(done) == 38
    assert len({(r.place, r.degradation, r.method) for r in records}) == len(records) == 38 * 6 * 2
    assert len(findings) == 2 * run.LESION_SLICES * 3  # the truth and two rivals
    again, seen = run.run(tasks, 2)
    assert str(again) == str(records)  # as text, in which NaN equals NaN
    assert str(seen) == str(findings)


def test_rows_with_noise_are_left_out_where_not_wanted(tmp_path: Path) -> None:
    _set(tmp_path)
    for noise, wanted in ((True, 6), (False, 4)):
        (task, _) = run.plan(tmp_path, "val", "CT", [NEAREST], 2, limit=1, noise=noise)
        records, _ = run.measure_task(task)
        assert len({r.degradation for r in records}) == wanted


def test_a_limit_spreads_its_slices(tmp_path: Path) -> None:
    _set(tmp_path)
    assert [t.places for t in run.plan(tmp_path, "val", "CT", [CUBIC], 2, limit=3)] == [(3, 9, 15)] * 2


def test_precisions_of_one_model_are_told_apart(make_model: Callable[..., Path]) -> None:
    half = make_model("some-x2", precision="fp16").rename(make_model("half").with_name("some-x2.fp16.onnx"))
    other = make_model("some-x2", depth=1).rename(half.with_name("other.onnx"))
    single = make_model("some-x2")
    found = methods.choose([str(single), str(half)], ["cubic", str(single)], 2)
    assert [m.name for m in found] == ["cubic", "some-x2", "some-x2 fp16"]
    with pytest.raises(UsageError, match="are both called some-x2"):
        methods.choose([str(single), str(other)], ["cubic"], 2)


def test_models_run_on_what_they_were_made_for(make_model: Callable[..., Path]) -> None:
    ct = Method("tiny-x2", "model", str(make_model()))
    gray = Method("gray", "model", str(make_model("gray-x2", modalities=["CR", "ES"])))
    assert methods.usable([ct, gray, CUBIC], "CT", 2) == [ct, CUBIC]
    assert methods.usable([ct, gray, CUBIC], "XR", 2) == [gray, CUBIC]
    assert (gray.code_for("XR"), gray.code_for("ENDO"), gray.code_for("US")) == ("CR", "ES", None)
    assert Method("base", "model", "base").code_for("XR") == "DX"


def test_a_guarded_model_has_no_block_error_and_a_broken_one_is_told(make_model: Callable[..., Path]) -> None:
    truth = np.random.default_rng(1).integers(-1000, 1000, (64, 64)).astype(np.int16)
    picture = Input(score.degradations_of("CT")[0].apply(truth, 2), "CT", 2)
    free = Method("free", "model", str(make_model("free-x2")))
    guarded = Method("guarded", "model", str(make_model("guarded-x2", guard="box")))
    broken = Method("broken", "model", str(make_model("broken-x2", poison=math.nan)))
    found = {m.name: (s, why) for m, s, why in run.measure(truth, picture, (-1024, 3071), [free, guarded, broken])}
    assert found["guarded"][0]["block_error"] == 0
    assert found["free"][0]["block_error"] > 1
    assert found["free"][1] is found["guarded"][1] is None
    assert "not finite" in str(found["broken"][1])


def test_a_model_sees_its_input_by_the_range_that_is_given(make_model: Callable[..., Path]) -> None:
    made = make_model("mr-x2", modalities=["MR"], mapping={"kind": "percentile", "low": 0.1, "high": 99.9})
    pixels = np.random.default_rng(3).normal(500, 100, (24, 24)).astype(np.float32)
    method, frame = Method("mr", "model", str(made)), Frame(pixels, modality="MR", value_range=(-300.0, 2000.0))
    found, _ = methods.enlarge(method, Input(pixels, "MR", 2, value_range=(-300.0, 2000.0)))
    assert np.array_equal(found, Enhancer(str(made)).run(frame).pixels)
    assert not np.array_equal(found, methods.enlarge(method, Input(pixels, "MR", 2))[0])


def test_mr_models_are_given_the_range_of_the_degraded_series(tmp_path: Path) -> None:
    voxels = np.random.default_rng(2).integers(0, 900, (32, 32, 4)).astype(np.int16)
    voxels[..., 3] *= 3
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 4, 1])), tmp_path / "m.nii.gz")
    scan = scans.Scan(tmp_path / "m.nii.gz", "MR", "val", "s", "x", "y", False)
    degradation = score.degradations_of("MR")[0]
    pictures, limits = run.degraded(scan, degradation, 2)
    values = np.concatenate([degradation.apply(voxels[..., k], 2).ravel() for k in range(4)])
    assert limits == pytest.approx(tuple(np.percentile(values, (0.1, 99.9))))
    assert sorted(pictures) == [0, 1, 2, 3]
