"""docs/mrd.md does what it says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acutance.errors import UsageError
from acutance.live.metrics import Metrics
from acutance.serve.config import read
from acutance.serve.mrd.settings import Limits, MrdSettings

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "mrd.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_configurations_are_right(tmp_path: Path) -> None:
    for text in blocks("toml"):
        path = tmp_path / "mrd.toml"
        path.write_text(text)
        (settings,) = read(path).services
        assert isinstance(settings, MrdSettings) and settings.port == 9002
    assert settings.configs["denoise"].model == "mr-rt-x2-dn" and settings.limits.connections == 2


def test_the_client_runs(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(enhance={"threads": 1})
    (program,) = blocks("python")
    assert "9002" in program
    monkeypatch.chdir(ROOT)
    exec(compile(program.replace("9002", str(server.port)), "docs/mrd.md", "exec"), {})
    assert re.fullmatch(r"\(\(\d+, \d+, 1\), 'acutance [\d.]+: mr-rt-x2 x2'\)\n", capsys.readouterr().out)


def test_the_configuration_for_gadgetron_names_a_config() -> None:
    from acutance.serve.mrd.configs import name_in

    (external,) = blocks("xml")
    configuration = ET.fromstring(external).find("configuration")
    assert configuration is not None and name_in(ET.tostring(configuration, "unicode")) == "acutance"


def test_keys_and_defaults_are_named() -> None:
    for name, field in MrdSettings.model_fields.items():
        assert name in ("kind", "name", "configs", "enhance", "limits") or f"`{name}`" in PAGE, name
        if isinstance(field.default, bool):
            assert re.search(rf"^\| `{name}` \| {str(field.default).lower()} \|", PAGE, re.MULTILINE), name
    for name, value in Limits():
        assert f"`{name}` {value:g}" in PAGE, name


def test_metrics_are_named() -> None:
    pytest.importorskip("ismrmrd", reason="no ismrmrd")
    from acutance.serve import logs
    from acutance.serve.mrd.service import _describe
    from acutance.serve.service import Context, Streams

    metrics = Metrics()
    _describe(Context(metrics, logs.of("mrd"), Streams()))
    names = metrics._store.helps.keys()
    assert len(names) == 10 and all(f"`{name}" in PAGE for name in names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keep_originals = true", "keep_originals wants a series_offset"),
        ("[service.configs.passthrough]\nmodel = 'base'", "'passthrough' has its meaning already"),
        ("allow = ['here']", "allow.0"),
        ("port = 70000", "port: "),
        ("[service.limits]\nconnections = 0", "limits.connections"),
        ("[service.configs.a]\nmodle = 'x'", "configs.a.modle: there is no such key"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mrd.toml"
    path.write_text(f'[[service]]\nkind = "mrd"\nname = "mr"\n{text}\n')
    with pytest.raises(UsageError, match=words):
        read(path)
