"""Settings of a GPU: what makes no sense is named in one line."""

from __future__ import annotations

import pytest

from acutance.backends.settings import GpuSettings, gpu_settings
from acutance.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"device": -1}, "'device' is wrong: .*; got -1"),
        ({"wait": "sleep"}, "'wait' is wrong: .*; got 'sleep'"),
        ({"memory_limit": 0}, "'memory_limit' is wrong"),
        ({"engine": {"batches": [4, 2]}}, "'batches' is wrong: .*must rise"),
        ({"engine": {"batches": ["1", "two"]}}, "'batches' is wrong: .*; got 'two'"),
        ({"engine": {"precision": "int4"}}, "'precision' is wrong"),
        ({"color": "red"}, "'color' is wrong"),
    ],
)
def test_wrong_settings_are_named(settings, says):
    with pytest.raises(UsageError, match=says) as caught:
        gpu_settings(**settings)
    assert "\n" not in str(caught.value)


def test_settings_stand_for_themselves():
    settings = gpu_settings(engine={"precision": "int8", "batches": ["1", "4"]}, wait="block")
    assert settings == GpuSettings(engine={"precision": "int8", "batches": (1, 4)}, wait="block")
    assert settings.engine.model_precision == "int8-trt"
