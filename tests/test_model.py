"""A model file says what the runtime must know, or is refused with the reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from acutance import model
from acutance.errors import ModelError
from acutance.geometry import Frame


def test_a_model_is_loaded_with_its_metadata(make_model):
    loaded = model.load(make_model("tiny-x3", scale=3, depth=4))
    assert (loaded.meta.name, loaded.meta.scale, loaded.meta.halo) == ("tiny-x3", 3, 4)
    assert len(loaded.sha256) == 64
    assert loaded.meta.mapping == model.Fixed(unit="HU", low=-1024, high=3071)


def test_a_file_that_changed_is_loaded_anew(make_model):
    first = model.load(make_model(gain=0.05))
    second = model.load(make_model(gain=0.5, version="1.1"))
    assert (first.path, first.meta.version, second.meta.version) == (second.path, "1.0", "1.1")
    assert first.sha256 != second.sha256


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metadata": None}, "no 'acutance' metadata.*acutance export"),
        ({"metadata": "{"}, "no JSON"),
        ({"halo": -1}, "wrong at halo"),
        ({"format": 2}, "wrong at format"),
        ({"colour": "red"}, "wrong at colour"),
        ({"mapping": {"kind": "guess"}}, "wrong at mapping"),
        ({"mapping": {"kind": "fixed", "unit": "HU", "low": 5.0, "high": 5.0}}, "below mapping.high"),
        ({"inputs": []}, "role 'lr'"),
        ({"inputs": [{"name": "x", "role": "lr", "channels": 1}]}, "names the inputs"),
        ({"inputs": [{"name": "lr", "role": "lr", "channels": 2}]}, r"wants \[N, 2, h, w\]"),
        ({"outputs": [{"name": "residual", "role": "residual", "channels": 9}]}, "with 4 channels"),
    ],
)
def test_wrong_metadata_is_refused_by_name(make_model, changes, says):
    path = make_model(**changes)
    with pytest.raises(ModelError, match=says) as caught:
        model.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_no_model_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        model.load(broken)
    with pytest.raises(ModelError, match="cannot be read"):
        model.load(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="no model is named 'nothing'"):
        model.load("nothing")


@pytest.mark.parametrize("name", model.names())
def test_shipped_models_load_under_their_own_name(name):
    meta = model.load(name).meta
    assert meta.name == name
    assert f"-x{meta.scale}" in name
    assert meta.training.data, "a shipped model names its training data"


def test_precisions_lie_beside_the_model_and_are_asked_for(make_model, monkeypatch):
    folder = make_model("some-rt-x2").parent
    made = make_model("other", precision="fp16")
    made.rename(folder / "some-rt-x2.fp16.onnx")
    found = {
        ("some-rt-x2", "fp32"): folder / "some-rt-x2.onnx",
        ("some-rt-x2", "fp16"): folder / "some-rt-x2.fp16.onnx",
    }
    monkeypatch.setattr(model, "_shipped", lambda: found)
    assert model.names() == ["some-rt-x2"] and model.precisions("some-rt-x2") == ["fp32", "fp16"]
    assert model.load("some-rt-x2").meta.precision == "fp32"
    assert model.load("some-rt-x2", "fp16").meta.precision == "fp16"
    with pytest.raises(ModelError, match="not shipped in int8-trt; there are: fp32, fp16"):
        model.load("some-rt-x2", "int8-trt")
    with pytest.raises(ModelError, match="is fp32; wanted fp16"):
        model.load(folder / "some-rt-x2.onnx", "fp16")


def test_a_shipped_model_has_variants_and_a_file_of_the_users_is_what_it_is(make_model, monkeypatch):
    own = model.load(make_model("own"))
    found = {("tiny-x2", "fp32"): make_model("tiny-x2"), ("tiny-x2", "fp16"): make_model("half", precision="fp16")}
    monkeypatch.setattr(model, "_shipped", lambda: found)
    shipped = model.load("tiny-x2")
    assert model.variant(shipped, "fp16").path == found["tiny-x2", "fp16"]
    assert model.variant(shipped, "fp32") is shipped
    assert model.variant(own, "fp16") is own
    with pytest.raises(ModelError, match="not shipped in int8-trt"):
        model.variant(shipped, "int8-trt")


def test_ct_and_mr_have_a_default():
    for modality in ("CT", "MR"):
        found = model.choose(modality)
        assert found is not None and modality in found.meta.modalities
    assert model.choose("SM") is None


def test_what_is_generative_is_never_chosen_by_itself(make_model, monkeypatch):
    plain, generative = (model.load(make_model(f"z{x}-rt-x2", perceptual=x, modalities=["SM"])) for x in (0, 1))
    assert generative.meta.generative and not plain.meta.generative
    for made, wanted in ((plain, plain), (generative, None)):
        shipped = {(made.meta.name, "fp32"): made.path}
        monkeypatch.setattr(model, "_shipped", lambda shipped=shipped: shipped)
        assert model.choose("SM") == wanted


def test_ranges_come_from_the_model_the_series_or_the_picture(make_model):
    fixed = model.load(make_model("fixed"))
    free = model.load(make_model("free", mapping={"kind": "percentile"}))
    frame = Frame(np.arange(101, dtype=np.uint16).reshape(1, 101), slope=2.0)
    assert fixed.range_of(frame) == (-1024, 3071, "model")
    low, high, origin = free.range_of(frame)
    assert (low, high, origin) == (pytest.approx(0.2), pytest.approx(199.8), "picture")
    assert free.range_of(dataclasses.replace(frame, value_range=(1.0, 9.0))) == (1.0, 9.0, "series")


def test_the_mapping_is_affine_and_monochrome1_is_turned_around():
    frame = Frame(np.array([[100, 300]], np.uint16), slope=2.0, intercept=-200.0)
    gain, bias = model.affine(frame, 0.0, 400.0)
    np.testing.assert_allclose(gain * frame.pixels + bias, [[0, 1]])
    gain, bias = model.affine(dataclasses.replace(frame, inverted=True), 0.0, 400.0)
    np.testing.assert_allclose(gain * frame.pixels + bias, [[1, 0]])
    for low, high in ((1, 1), (2, 1), (np.nan, 1), (0, np.inf)):
        assert model.affine(frame, low, high) == (0.0, 0.0)


def test_pictures_outside_the_training_are_named(make_model):
    loaded = model.load(make_model(spacing_mm=[0.3, 2.0]))
    frame = Frame(np.zeros((2, 2), np.int16), modality="CT", spacing=(0.7, 0.7))
    assert loaded.unfit(frame) is None
    assert "not for MR" in (loaded.unfit(dataclasses.replace(frame, modality="MR")) or "")
    assert "not for 0.7 x 3 mm" in (loaded.unfit(dataclasses.replace(frame, spacing=(0.7, 3.0))) or "")
