"""The whole way of a picture through the Enhancer, on real engines of the CPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from acutance import backends, model, oracle, tiling
from acutance.enhancer import Enhancer
from acutance.errors import BackendError, InputError, UsageError
from acutance.geometry import Frame, Source, share_range


def ct(rows: int = 61, cols: int = 47, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 400, (rows // 4 + 2, cols // 4 + 2)).repeat(4, 0).repeat(4, 1)[:rows, :cols]
    pixels = (smooth + rng.normal(0, 60, (rows, cols))).clip(-1024, 3000).astype(np.int16)
    return Frame(pixels, modality="CT", spacing=(0.8, 0.7), source=Source("a.dcm", {"k": 1}, 3, "dicom"))


def base_of(frame: Frame, scale: int = 2) -> np.ndarray:
    plan = tiling.plan(frame.rows, frame.cols, (frame.rows, frame.cols), 0, scale)
    return oracle.assemble(None, frame.pixels, plan)[0]


def test_the_result_carries_grid_values_and_derivation(make_model):
    frame = dataclasses.replace(ct(), slope=1.0, intercept=-10.0, window=(40.0, 400.0))
    result = Enhancer(make_model()).run(frame)
    out = result.frame
    assert out.pixels.shape == (122, 94) and out.pixels.dtype == np.int16
    assert out.spacing == (0.4, 0.35)
    assert (out.slope, out.intercept, out.window, out.modality) == (1.0, -10.0, (40.0, 400.0), "CT")
    assert out.source is frame.source
    assert (result.model, result.backend, result.fell_back) == ("tiny-x2", "onnxruntime", None)
    assert out.derivation.sha256 and (out.derivation.low, out.derivation.high) == (-1024, 3071)
    assert result.milliseconds > 0
    assert (result.pixels != base_of(frame)).mean() > 0.5, "the network must have changed the picture"


def test_exact_tiles_do_not_show(make_model):
    path, frame = make_model(depth=3), ct(90, 130)
    whole = Enhancer(path).run(frame).pixels
    for tile in (16, 23, 64):
        np.testing.assert_array_equal(Enhancer(path, tile=tile).run(frame).pixels, whole)


def test_the_network_sees_the_mirrored_picture_mapped_and_its_residual_is_unmapped(make_model):
    path, frame = make_model(depth=3, guard="none"), ct()
    backend = backends.open_backend("onnxruntime", model.load(path))
    padded = np.pad(frame.pixels, 3, mode="symmetric").astype(np.float32)
    seen = ((padded + 1024) / 4095)[None, None]
    residual = backend.run({"lr": seen})["residual"][:, :, 3:-3, 3:-3]
    plan = tiling.plan(frame.rows, frame.cols, (frame.rows, frame.cols), 0, 2)
    wanted = oracle.assemble(residual, frame.pixels, plan, gain=1 / 4095)[0]
    got = Enhancer(path).run(frame).pixels
    assert np.abs(got.astype(int) - wanted).max() <= 1
    assert (got == wanted).mean() > 0.999


def test_feathered_tiles_come_close_and_say_so(make_model):
    path, frame = make_model(depth=4), ct(90, 130)
    exact = Enhancer(path).run(frame)
    feathered = Enhancer(path, stitch="feather", tile=40).run(frame)
    difference = np.abs(feathered.pixels.astype(float) - exact.pixels)
    assert difference.max() > 0 and np.median(difference) <= 1
    assert (feathered.frame.derivation.tile, feathered.frame.derivation.overlap) == (40, 2)
    assert feathered.frame.derivation.digest() != exact.frame.derivation.digest()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_guard_gives_the_input_back_as_block_means(make_model, scale):
    frame = ct()
    result = Enhancer(make_model(scale=scale, guard="box")).run(frame)
    blocks = result.pixels.astype(np.int64).reshape(frame.rows, scale, frame.cols, scale).sum((1, 3))
    np.testing.assert_array_equal(blocks, frame.pixels.astype(np.int64) * scale**2)
    unguarded = Enhancer(make_model(scale=scale, guard="box"), guard="none").run(frame)
    assert unguarded.frame.derivation.guard == "none"
    assert (unguarded.pixels != result.pixels).any()


def test_colour_gets_the_residual_of_its_luma(make_model):
    mapping = {"kind": "fixed", "unit": "stored", "low": 0.0, "high": 255.0}
    path = make_model(modalities=["ES"], mapping=mapping)
    gray = np.random.default_rng(1).integers(60, 190, (20, 24)).astype(np.uint8)
    colour = np.stack([gray, gray, gray], axis=2)
    one = Enhancer(path).run(gray, modality="ES").pixels
    three = Enhancer(path).run(colour, modality="ES").pixels
    for channel in range(3):
        assert np.abs(three[..., channel].astype(int) - one).max() <= 1


def test_auto_takes_the_default_of_the_modality_and_base_where_there_is_none():
    enhancer = Enhancer()
    assert enhancer.run(ct()).model == "ct-rt-x2"
    frame = dataclasses.replace(ct(), modality="SM")
    result = enhancer.run(frame)
    assert (result.model, result.backend) == ("base", "base")
    assert result.fell_back == "no model enlarges SM by 2"
    np.testing.assert_array_equal(result.pixels, base_of(frame))


def test_base_asked_for_is_not_a_fallback():
    result = Enhancer("base", scale=4).run(ct())
    assert (result.model, result.fell_back, result.pixels.shape) == ("base", None, (244, 188))


def test_missing_samples_come_out_as_padding_and_do_not_bleed(make_model):
    enhancer, results = Enhancer(make_model(guard="box")), []
    for padding in (-2000, 3000):
        pixels = ct().pixels.copy()
        pixels[:20, :10] = padding
        frame = dataclasses.replace(ct(), pixels=pixels, padding=(padding, padding))
        results.append(enhancer.run(frame).pixels)
        assert (results[-1][:40, :20] == padding).all()
        results[-1][:40, :20] = 0
    np.testing.assert_array_equal(*results)


def test_nan_samples_stay_nan_alone(make_model):
    frame = ct()
    pixels = frame.pixels.astype(np.float32)
    pixels[5, 6] = np.nan
    result = Enhancer(make_model()).run(dataclasses.replace(frame, pixels=pixels))
    bad = np.argwhere(~np.isfinite(result.pixels))
    assert sorted(map(tuple, bad)) == [(10, 12), (10, 13), (11, 12), (11, 13)]
    assert result.fell_back is None


def test_a_constant_picture_gives_its_base(make_model):
    path = make_model(modalities=["MR"], mapping={"kind": "percentile"})
    result = Enhancer(path).run(np.full((9, 9), 7, np.uint16), modality="MR")
    assert (result.pixels == 7).all()
    assert (result.model, result.fell_back) == ("base", "its values have no range")


def test_a_range_from_one_picture_is_said_and_a_series_range_is_used(make_model):
    path = make_model(modalities=["MR"], mapping={"kind": "percentile"})
    frames = [dataclasses.replace(ct(seed=s), modality="MR") for s in (1, 2)]
    enhancer = Enhancer(path)
    alone = enhancer.run(frames[0])
    assert alone.warnings == ("value range from this picture alone",)
    together = [enhancer.run(f) for f in share_range(frames)]
    assert together[0].warnings == ()
    ranges = {(r.frame.derivation.low, r.frame.derivation.high) for r in together}
    assert len(ranges) == 1
    assert together[0].frame.derivation.range_from == "series"


def test_a_picture_outside_the_training_is_named_and_strict_gives_the_base(make_model):
    path = make_model(spacing_mm=[0.1, 0.5])
    assert "not for 0.8 x 0.7 mm" in Enhancer(path).run(ct()).warnings[0]
    strict = Enhancer(path, strict=True).run(ct())
    assert strict.model == "base" and "not for 0.8 x 0.7 mm" in strict.fell_back


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_gives_the_base_and_says_so(make_model, poison):
    frame = ct()
    result = Enhancer(make_model(poison=poison)).run(frame)
    assert result.model == result.backend == "base"
    assert "not finite" in result.fell_back
    np.testing.assert_array_equal(result.pixels, base_of(frame))


def test_a_backend_that_fails_gives_the_base_with_the_models_guard(make_model, monkeypatch):
    from acutance.backends.onnxruntime import OnnxRuntime

    def fail(self, inputs):
        raise BackendError("the device is gone")

    monkeypatch.setattr(OnnxRuntime, "run", fail)
    frame = ct()
    result = Enhancer(make_model(guard="box")).run(frame)
    assert (result.model, result.fell_back) == ("base", "the device is gone")
    blocks = result.pixels.astype(np.int64).reshape(frame.rows, 2, frame.cols, 2).sum((1, 3))
    np.testing.assert_array_equal(blocks, frame.pixels.astype(np.int64) * 4)


def test_derivation_is_known_before_the_run(make_model):
    for settings in ({}, {"stitch": "feather"}, {"guard": "box"}, {"tile": 32}):
        enhancer = Enhancer(make_model(), **settings)
        frame = ct()
        assert enhancer.derivation(frame) == enhancer.run(frame).frame.derivation


def test_a_stream_comes_back_in_order(make_model):
    with Enhancer(make_model()) as enhancer:
        frames = [ct(seed=s) for s in range(5)]
        results = []
        for k, frame in enumerate(frames):
            enhancer.submit(frame)
            if k:
                results.append(enhancer.result())
        results.append(enhancer.result())
        for frame, result in zip(frames, results, strict=True):
            np.testing.assert_array_equal(result.pixels, enhancer.run(frame).pixels)
        with pytest.raises(UsageError, match="without a submit"):
            enhancer.result()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"scale": 5}, "scale 5"),
        ({"stitch": "glue"}, "stitch 'glue'"),
        ({"guard": "maybe"}, "guard 'maybe'"),
        ({"backend": "abacus"}, "no backend is named 'abacus'"),
        ({"scale": 3, "model": "ct-rt-x2"}, "enlarges by 2, not by 3"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        Enhancer(**settings)


def test_pictures_that_make_no_sense_are_refused(make_model):
    enhancer = Enhancer(make_model())
    with pytest.raises(InputError, match="int64"):
        enhancer.run(np.zeros((4, 4), np.int64))
    with pytest.raises(InputError, match="do not fit 12 bits"):
        enhancer.run(Frame(np.full((4, 4), 5000, np.uint16), modality="CT", bits_stored=12))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures(make_model, shape):
    frame = Frame(np.arange(shape[0] * shape[1], dtype=np.int16).reshape(shape), modality="CT")
    result = Enhancer(make_model(depth=4)).run(frame)
    assert result.pixels.shape == (2 * shape[0], 2 * shape[1]) and result.fell_back is None


def test_how_an_array_lies_in_memory_does_not_matter(make_model):
    enhancer, pixels = Enhancer(make_model()), ct().pixels
    wanted = enhancer.run(pixels, modality="CT").pixels
    for other in (np.asfortranarray(pixels), pixels.astype(">i2"), pixels[::-1][::-1]):
        result = enhancer.run(other, modality="CT")
        np.testing.assert_array_equal(result.pixels, wanted)
        assert result.pixels.dtype == np.int16 and result.pixels.dtype.isnative


def test_a_generative_model_says_so(make_model):
    frame = Frame(np.zeros((20, 20), np.int16), modality="CT")
    for amount in (0.0, 0.3):
        result = Enhancer(make_model(f"a{amount}", perceptual=amount)).run(frame)
        assert result.frame.derivation is not None and result.frame.derivation.generative == (amount > 0)
        assert any("may be made up" in w for w in result.warnings) == (amount > 0)


def test_a_base_is_made_as_the_model_would_make_it(make_model: Any) -> None:
    enhancer = Enhancer(make_model(scale=3, base="lanczos4", guard="box"), threads=1)
    frame = Frame(np.random.default_rng(0).integers(0, 900, (20, 30)).astype(np.int16), "CT", spacing=(0.9, 0.6))
    found = enhancer.base(frame, "no time")
    how = found.frame.derivation
    assert how is not None
    assert (how.model, how.base, how.guard, how.scale) == ("base", "lanczos4", "box", 3)
    assert found.fell_back == "no time" and found.frame.spacing == (pytest.approx(0.3), pytest.approx(0.2))
    blocks = found.pixels.reshape(20, 3, 30, 3).sum(axis=(1, 3), dtype=np.int64)
    assert (blocks == 9 * frame.pixels.astype(np.int64)).all()
    assert enhancer._routes.opened == {}  # no network was touched


def test_which_models_want_a_range(make_model: Any) -> None:
    assert Enhancer("auto").percentiles("MR") == (0.1, 99.9)
    assert Enhancer("auto").percentiles("CT") is None and Enhancer("base").percentiles("MR") is None
    wants = make_model(mapping={"kind": "percentile", "low": 1.0, "high": 99.0})
    assert Enhancer(wants).percentiles("CT") == (1.0, 99.0)


def test_a_restart_opens_anew_what_could_not_start(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = Enhancer(make_model(), threads=1)
    frame = Frame(np.random.default_rng(0).integers(0, 900, (20, 30)).astype(np.int16), "CT")
    opens = backends.open_backend

    def fail(*_: Any) -> Any:
        raise BackendError("no memory")

    monkeypatch.setattr(backends, "open_backend", fail)
    assert "no memory" in str(enhancer.run(frame).fell_back)
    monkeypatch.setattr(backends, "open_backend", opens)
    enhancer.restart()
    assert enhancer.run(frame).fell_back is None
    assert enhancer.counters["unavailable"] == 1  # what was counted stays
    first = next(iter(enhancer._routes.opened.values()))
    enhancer.restart()
    assert enhancer.run(frame).fell_back is None and first not in enhancer._routes.opened.values()
