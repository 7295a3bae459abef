"""Models with several inputs and outputs, on real ONNX graphs whose result is known."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from acutance import oracle, tiling
from acutance.backends.tensorrt import TensorRT
from acutance.enhancer import Enhancer
from acutance.errors import BackendError, InputError, ModelError
from acutance.geometry import Frame
from acutance.sequence import Sequence

ROLES = ("lr", "lr_previous", "previous", "state")


def shot(seed: int = 0, rows: int = 24, cols: int = 32, time: float | None = None) -> Frame:
    """Return one still picture of a smooth scene with grain that differs from seed to seed."""
    y, x = np.mgrid[:rows, :cols]
    scene = 120 + 60 * np.sin(x / 3) * np.cos(y / 4) + 30 * np.sin(y / 2)
    grain = np.random.default_rng(seed).normal(0, 2, scene.shape)
    return Frame((scene + grain).clip(10, 245).astype(np.uint8), modality="US", timestamp=time)


def other(seed: int = 0) -> Frame:
    """Return a picture of another scene."""
    y, x = np.mgrid[:24, :32]
    return Frame((100 + 80 * np.cos(x / 2 + y / 5 + seed)).astype(np.uint8), modality="US")


def assembled(residual: np.ndarray, frame: Frame) -> np.ndarray:
    plan = tiling.plan(frame.rows, frame.cols, (frame.rows, frame.cols), 0, 2)
    return oracle.assemble(residual.astype(np.float32), frame.pixels, plan, gain=1 / 255)[0]


def unshuffled(picture: np.ndarray, s: int = 2) -> np.ndarray:
    rows, cols = picture.shape
    return picture.reshape(rows // s, s, cols // s, s).transpose(1, 3, 0, 2).reshape(s * s, rows // s, cols // s)


@pytest.fixture
def recurrent(make_mixer):
    """A model with state, and its matrices of the residual ``[4, 8]`` and the state ``[2, 8]``."""
    rng = np.random.default_rng(3)
    residual, state = rng.normal(0, 0.1, (4, 8)), rng.normal(0, 0.3, (2, 8))
    return make_mixer(ROLES, {"residual": residual, "state": state}), residual, state


def step(frame: Frame, matrices: tuple[np.ndarray, np.ndarray], past: tuple | None) -> tuple:
    """Return output, and what the next picture sees, by NumPy alone."""
    lr = frame.pixels[None] / 255
    before = np.zeros((7, *lr.shape[1:])) if past is None else past
    seen = np.concatenate([lr, before])
    residual, state = (np.einsum("oc,chw->ohw", m, seen) for m in matrices)
    out = assembled(residual[None], frame)
    return out, np.concatenate([lr, unshuffled(out / 255), state])


def test_a_network_with_state_sees_what_came_before(recurrent):
    path, *matrices = recurrent
    past, sequence, wanted = None, Sequence(), []
    frames = [shot(k) for k in range(4)]
    with Enhancer(path) as enhancer:
        for frame in frames:
            out, past = step(frame, tuple(matrices), past)
            wanted.append(out)
            got = enhancer.run(frame, sequence=sequence)
            assert got.fell_back is None
            assert np.abs(got.pixels.astype(int) - out).max() <= 1
        alone = enhancer.run(frames[3])
        assert (alone.pixels != wanted[3]).mean() > 0.5, "without its sequence it begins anew"
        assert np.abs(alone.pixels.astype(int) - step(frames[3], tuple(matrices), None)[0]).max() <= 1
        for frame in frames:
            enhancer.submit(frame)
            if frame is not frames[0]:
                assert np.abs(enhancer.result().pixels.astype(int) - wanted[frames.index(frame) - 1]).max() <= 1
        assert np.abs(enhancer.result().pixels.astype(int) - wanted[3]).max() <= 1
    assert not sequence.resets


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (other(), "scene cut"),
        (shot(1, rows=26), "other size"),
        (dataclasses.replace(shot(1), timestamp=9.0), "gap in time"),
        (dataclasses.replace(shot(1), timestamp=-1.0), "time ran back"),
    ],
)
def test_it_begins_anew_where_pictures_do_not_follow(recurrent, second, why):
    path, *_ = recurrent
    with Enhancer(path) as enhancer:
        for k in range(3):
            enhancer.submit(shot(10 + k, time=k / 25))
            enhancer.result()
        enhancer.submit(second)
        np.testing.assert_array_equal(enhancer.result().pixels, enhancer.run(second).pixels)
        assert enhancer.counters == {f"begun anew: {why}": 1}


def test_dropped_pictures_do_no_harm(recurrent):
    path, *_ = recurrent
    frames = [shot(k, time=k / 25) for k in range(6)]
    with Enhancer(path) as enhancer:
        sequence = Sequence()
        first = [enhancer.run(f, sequence=sequence).pixels for f in frames[:3]]
        twice = dataclasses.replace(frames[2], timestamp=3 / 25)
        np.testing.assert_array_equal(enhancer.run(twice, sequence=sequence).pixels, first[2])
        again = enhancer.run(frames[5], sequence=sequence).pixels
        plain = Sequence()
        for f in frames[:3]:
            enhancer.run(f, sequence=plain)
        np.testing.assert_array_equal(enhancer.run(frames[5], sequence=plain).pixels, again)
        assert not sequence.resets and not plain.resets


def test_it_begins_anew_after_a_failure(recurrent, monkeypatch):
    from acutance.backends.onnxruntime import OnnxRuntime

    path, *_ = recurrent
    with Enhancer(path) as enhancer:
        sequence = Sequence()
        enhancer.run(shot(0), sequence=sequence)
        with monkeypatch.context() as patch:

            def fail(self, inputs):
                raise BackendError("the device is gone")

            patch.setattr(OnnxRuntime, "run", fail)
            assert enhancer.run(shot(1), sequence=sequence).fell_back == "the device is gone"
        np.testing.assert_array_equal(enhancer.run(shot(2), sequence=sequence).pixels, enhancer.run(shot(2)).pixels)
        with pytest.raises(InputError):
            enhancer.run(np.zeros((4, 4), np.int64), sequence=sequence)
        np.testing.assert_array_equal(enhancer.run(shot(3), sequence=sequence).pixels, enhancer.run(shot(3)).pixels)
        assert sequence.resets == {"failed": 2}


def test_missing_samples_do_not_reach_the_next_picture(recurrent):
    path, *_ = recurrent
    results = []
    for padding in (0, 255):
        pixels = shot(0).pixels.copy()
        pixels[:6, :5] = padding
        sequence = Sequence()
        with Enhancer(path) as enhancer:
            enhancer.run(dataclasses.replace(shot(0), pixels=pixels, padding=(padding, padding)), sequence=sequence)
            results.append(enhancer.run(shot(1), sequence=sequence).pixels)
    np.testing.assert_array_equal(*results)


def test_sides_of_a_whole_picture_are_multiples_of_what_the_network_wants(make_mixer):
    seen = np.zeros((4, 3))
    seen[:, 0] = 0.1
    path = make_mixer(("lr", "state"), {"residual": seen[:, :2], "state": np.eye(1, 2)}, multiple_of=8)
    frame = shot(rows=21, cols=30)
    result = Enhancer(path).run(frame)
    wanted = assembled((0.1 * frame.pixels[None, None] / 255).repeat(4, 1), frame)
    assert result.fell_back is None and np.abs(result.pixels.astype(int) - wanted).max() <= 1


def test_a_guide_is_seen_and_its_lack_is_zeros(make_mixer):
    path = make_mixer(("lr", "guide"), {"residual": np.concatenate([np.zeros((4, 1)), 0.2 * np.eye(4)], axis=1)})
    frame = shot(rows=40, cols=48)
    guide = np.random.default_rng(1).normal(500, 100, (80, 96)).astype(np.float32)
    guide[:10] = np.nan
    low, high = np.percentile(guide[10:], [0.1, 99.9])
    mapped = np.nan_to_num((guide - low) / (high - low))
    for settings in ({}, {"tile": 16}):
        with Enhancer(path, **settings) as enhancer:
            result = enhancer.run(frame, guide=guide)
            wanted = assembled(0.2 * unshuffled(mapped)[None], frame)
            assert np.abs(result.pixels.astype(int) - wanted).max() <= 1
            assert len(result.frame.derivation.guide) == 64
            assert enhancer.derivation(frame, guide) == result.frame.derivation
            without = enhancer.run(frame)
            np.testing.assert_array_equal(without.pixels, assembled(np.zeros((1, 4, 40, 48)), frame))
            assert without.fell_back is None and without.frame.derivation.guide is None
            with pytest.raises(InputError, match=r"80 x 90 pixels; wanted 80 x 96"):
                enhancer.run(frame, guide=guide[:, :90])


def test_a_guide_for_a_model_without_one_is_said(make_model):
    frame = dataclasses.replace(shot(), modality="CT")
    result = Enhancer(make_model()).run(frame, guide=np.random.default_rng(0).random((48, 64)))
    assert "tiny-x2 takes no guide" in result.warnings and result.frame.derivation.guide is None


def test_quantiles_become_pictures_around_the_result(make_mixer):
    bias = np.array([0.02, 0.04, 0.0, 0.08])
    zero = np.zeros((4, 1))
    quantiles = {"q05": (zero, -bias), "q95": (zero, 2 * bias)}
    path = make_mixer(("lr",), {"residual": zero, **quantiles})
    frame = shot(rows=33, cols=40)
    for tile in (None, 16):
        result = Enhancer(path, tile=tile).run(frame)
        for got, shift in ((result.lower, -bias), (result.upper, 2 * bias)):
            wanted = assembled(np.broadcast_to(shift[None, :, None, None], (1, 4, 33, 40)), frame)
            assert got.dtype == np.uint8 and np.abs(got.astype(int) - wanted).max() <= 1
        assert (result.lower <= result.pixels).all() and (result.pixels <= result.upper).all()
    plain = Enhancer(make_mixer(("lr",), {"residual": zero}, "plain-x2")).run(frame)
    np.testing.assert_array_equal(plain.pixels, result.pixels)
    assert plain.lower is plain.upper is None


@pytest.mark.parametrize("slope", [1.0, -1.0])
@pytest.mark.parametrize("inverted", [False, True])
def test_bounds_keep_their_sides_where_values_are_turned_and_are_never_crossed(make_mixer, slope, inverted):
    zero = np.zeros((4, 1))
    crossed = {"residual": zero, "q05": (zero, np.full(4, -0.05)), "q95": (zero, np.full(4, -0.02))}
    path = make_mixer(("lr",), crossed)
    intercept = 0.0 if slope > 0 else 255.0
    frame = dataclasses.replace(shot(), slope=slope, intercept=intercept, inverted=inverted)
    result = Enhancer(path, guard="box").run(frame)
    blocks = result.pixels.astype(int).reshape(24, 2, 32, 2).sum((1, 3))
    np.testing.assert_array_equal(blocks, 4 * frame.pixels.astype(int))
    turned = (slope < 0) != inverted
    near, far = (result.upper, result.lower) if not turned else (result.lower, result.upper)
    # Both quantiles lie to one side: the bound of the other side is the picture itself, but for the guard's rounding.
    assert np.abs(near.astype(int) - result.pixels).max() <= 1
    distance = np.abs(far.astype(int) - result.pixels)
    assert np.median(distance) == 13 and (result.lower <= result.pixels).all() and (result.pixels <= result.upper).all()


def test_quantiles_that_are_no_numbers_give_the_base(make_mixer):
    zero = np.zeros((4, 1))
    path = make_mixer(("lr",), {"residual": zero, "q05": (zero, np.full(4, np.nan)), "q95": zero})
    result = Enhancer(path).run(shot())
    assert "not finite" in result.fell_back and result.lower is None


def test_tensorrt_gives_such_models_to_onnxruntime_once(make_mixer, monkeypatch, caplog):
    zero = np.zeros((4, 1))
    path = make_mixer(("lr",), {"residual": zero, "q05": zero, "q95": zero})
    monkeypatch.setattr("acutance.backends.file_for", lambda name, model, gpu: model)
    with caplog.at_level(logging.WARNING), Enhancer(path, "tensorrt") as enhancer:
        for k in range(3):
            result = enhancer.run(shot(k))
            assert result.backend == "onnxruntime" and result.fell_back is None and result.lower is not None
        assert enhancer.counters == {"unavailable": 1}
    said = [r.getMessage() for r in caplog.records]
    assert said == [
        "tensorrt cannot start: mixer-x2 has q05, q95 beside picture and residual; only onnxruntime runs that"
    ]
    assert TensorRT.name == "tensorrt"


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "says"),
    [
        (("lr", "state"), {"residual": (4, 2), "state": (1, 2)}, {"halo": 3}, "halo must be null"),
        (("lr",), {"residual": (4, 1), "q05": (4, 1)}, {}, "q05 and q95 must come together"),
        (("lr",), {"residual": (4, 1), "state": (2, 1)}, {}, "an input and an output of as many channels"),
        (
            ("lr", "guide"),
            {"residual": (4, 5)},
            {"inputs": [{"name": n, "role": n, "channels": c} for n, c in (("lr", 1), ("guide", 4))]},
            "'guide' must have channels 1 and unshuffle 2",
        ),
    ],
)
def test_metadata_that_does_not_fit_together_is_refused(make_mixer, inputs, outputs, changes, says):
    path = make_mixer(inputs, {role: np.zeros(shape) for role, shape in outputs.items()}, **changes)
    with pytest.raises(ModelError, match=says):
        Enhancer(path)
