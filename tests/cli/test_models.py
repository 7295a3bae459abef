"""What `acutance models` says is what the files say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acutance import model


def test_every_shipped_model_is_listed_with_what_matters(run: Callable[..., Any]) -> None:
    out = run("models").out
    assert model.names()
    for name in model.names():
        meta = model.load(name).meta
        (row,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
        for word in (str(meta.scale), meta.guard, meta.network, *meta.modalities):
            assert word in row


def test_a_model_is_described_in_full(run: Callable[..., Any], make_model: Callable[..., Any]) -> None:
    out = run("models", "ct-rt-x2").out
    loaded = model.load("ct-rt-x2")
    for word in (loaded.sha256, str(loaded.path), "cubic", "HU", *(d.licence for d in loaded.meta.training.data)):
        assert word in out
    assert "tiny-x2" in run("models", make_model()).out


def test_an_unknown_model_is_named(run: Callable[..., Any]) -> None:
    ran = run("models", "nothing")
    assert ran.code == 1 and len(ran.err) == 1 and "no model is named 'nothing'" in ran.err[0]
