"""The configurations of docs/openigtlink.md are right, and its script prints what it says."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from acutance.serve.config import read
from acutance.serve.openigtlink.settings import OpenIgtLinkSettings

PAGE = (Path(__file__).parents[3] / "docs" / "openigtlink.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_each_configuration_is_taken(number: int, tmp_path: Path) -> None:
    path = tmp_path / "navigation.toml"
    path.write_text(blocks("toml")[number])
    (service,) = read(path).services
    assert isinstance(service, OpenIgtLinkSettings) and service.receivers.port == 18945


def test_every_setting_is_told_of() -> None:
    table = PAGE.partition("## All settings")[2]
    for name in (n for n in OpenIgtLinkSettings.model_fields if n not in ("kind", "name")):
        assert f"`{name}`" in table


def test_the_script_gets_its_picture(
    peers: ModuleType, filters: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    port = peers.free_port()
    made = filters(source={"role": "client", "port": port}, suffix="_x2")
    (script,) = blocks("python")
    script = script.replace("18944", str(port)).replace("18945", str(made.service.receivers.port))
    assert threading.current_thread() is threading.main_thread()  # pyigtl's server sets handlers of signals
    exec(compile(script, "docs/openigtlink.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first == "(1, 300, 400)"
    assert [float(x) for x in re.findall(r"-?[\d.]+", second)] == pytest.approx([0.1, 0, 0, -0.05], abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": {"role": "client", "port": 0}}, "needs the port"),
        ({"source": {"role": "client", "port": 1, "allow": ["10.0.0.0/8"]}}, "is for role server"),
        ({"source": {"role": "client", "port": 18945}}, "feeds itself"),
        ({"suffix": "a suffix"}, "suffix"),
        ({"modality": "us"}, "modality"),
        ({"position": "corner"}, "position"),
        ({"stall_s": 0}, "stall_s"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OpenIgtLinkSettings.model_validate({"kind": "openigtlink", "name": "test", **changes})
