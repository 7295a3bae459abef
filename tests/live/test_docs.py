"""docs/live.md: its configuration is taken, its Python runs, and metrics, reasons and settings are those there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from acutance.live.schedule import Dropped, Why
from acutance.live.stream import HELP, StreamSettings
from acutance.serve.config import read
from acutance.serve.enhance import EnhanceSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_configuration_is_taken(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "serve.toml").write_text(text)
    config = read(tmp_path / "serve.toml")
    listed = ", ".join(f"{s.name} ({s.kind})" for s in config.services)
    assert f"serve.toml: {listed}\n" in blocks("console")[0]
    assert config.monitor is not None and config.drain_s == 20


def test_the_example_program_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    exec(compile(code, "live.md", "exec"), {})
    assert re.search(r"^first (gray-rt-x2|base) \d+ ms", capsys.readouterr().out)


def test_every_metric_and_reason_has_its_row() -> None:
    rows = dict(re.findall(r"^\| `acutance_(\w+)` \| [^|]* \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) - {"age_seconds_recent"} == set(HELP)
    assert set(re.findall(r"`(\w+)`", rows["frames_dropped_total"])) == {d.value for d in Dropped}
    assert set(re.findall(r"`(\w+)`", rows["frames_base_total"])) == {w.name for w in Why} | {"nan", "unfit", "asked"}


def test_every_setting_is_named() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE.split("`[service.stream]` |")[1].split("###")[0], re.MULTILINE))
    assert rows == set(StreamSettings.model_fields)
    for name in EnhanceSettings.model_fields:
        assert f"`{name}`" in PAGE, name
