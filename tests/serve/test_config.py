"""Configurations: what is right is taken, every mistake is named with its file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
import pytest

from acutance.errors import UsageError
from acutance.serve import kinds
from acutance.serve.config import read
from acutance.serve.enhance import EnhanceSettings
from acutance.serve.service import Settings


class EchoSettings(Settings):
    kind: Literal["echo"]
    port: int = pydantic.Field(ge=0, le=65535)
    token: str = pydantic.Field(default="long enough", min_length=8)
    enhance: EnhanceSettings = EnhanceSettings()


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds.KINDS, "echo", EchoSettings)


def written(folder: Path, text: str) -> Path:
    path = folder / "acutance.toml"
    path.write_text(text)
    return path


def test_a_whole_configuration_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        drain_s = 3
        [monitor]
        port = 9191
        [logs]
        level = "warning"
        [[service]]
        kind = "echo"
        name = "first"
        port = 5000
        [service.enhance]
        model = "base"
        scale = 3
        gpu = {device = 1}
        [[service]]
        kind = "echo"
        name = "second"
        port = 5001
        """,
    )
    config = read(path)
    assert config.monitor is not None and (config.monitor.address, config.monitor.port) == ("127.0.0.1", 9191)
    assert (config.logs.level, config.drain_s) == ("warning", 3.0)
    first, second = config.services
    assert isinstance(first, EchoSettings) and isinstance(second, EchoSettings)
    assert (first.name, first.port, second.port) == ("first", 5000, 5001)
    enhancer = first.enhance.enhancer()
    assert (enhancer.scale, enhancer.gpu.device) == (3, 1)


SERVICE = '[[service]]\nkind = "echo"\nname = "a"\nport = 1\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["service: there is none"]),
        ("service = 3", ["service: there is none"]),
        ("x = = 1", ["is no TOML", "line 1"]),
        ("monitr = 1\n" + SERVICE, ["monitr: there is no such key"]),
        ('[logs]\nlevel = "loud"\n' + SERVICE, ["logs.level: Input should be 'debug'", "got 'loud'"]),
        ("[monitor]\nport = 70000\n" + SERVICE, ["monitor.port", "65535", "got 70000"]),
        ('[[service]]\nname = "a"\n', ["service 1 ('a'): kind: wanted one of ", "echo", "it is missing"]),
        ('[[service]]\nkind = "ech"\n', ["service 1: kind: wanted one of ", "got 'ech'"]),
        ('[[service]]\nkind = "echo"\nname = "a"\n', ["service 1 ('a'): port: it is missing"]),
        ('[[service]]\nkind = "echo"\nname = "a b"\nport = 1\n', ["service 1 ('a b'): name", "got 'a b'"]),
        (SERVICE + SERVICE, ["service 2 ('a'): name: another service has it"]),
        (SERVICE + "enhance = {scale = 5}\n", ["service 1 ('a'): enhance.scale", "got 5"]),
        (SERVICE + "enhance = {gpu = {waits = 1}}\n", ["enhance.gpu.waits: there is no such key"]),
        (
            "[monitor]\nport = -1\n" + SERVICE.replace("port", "prt"),
            ["monitor.port", "port: it is missing", "prt: there"],
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, wanted: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as error:
        read(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    for part in wanted:
        assert part in said


def test_no_message_shows_a_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(written(tmp_path, SERVICE + 'token = "hush"\n'))
    assert "token: String should have at least 8" in str(error.value) and "hush" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read"):
        read(tmp_path / "none.toml")


def test_each_kind_says_its_own_name() -> None:
    for name, settings in kinds.KINDS.items():
        assert settings.model_fields["kind"].annotation == Literal[name]
        assert settings is EchoSettings or settings.__module__.endswith(".settings")
