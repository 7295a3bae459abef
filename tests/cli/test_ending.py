"""Whatever goes wrong in a command is one line and a status."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acutance.cli.ending import end
from acutance.errors import AcutanceError, InputError, UsageError


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (lambda: 7, 0, ""),
        (raising(InputError("is no\npicture", "a\x07.dcm")), 1, "acutance: a\\x07.dcm: is no picture\n"),
        (raising(UsageError("makes no sense")), 2, "acutance: makes no sense\n"),
        (raising(AcutanceError("failed")), 1, "acutance: failed\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
        (raising(SystemExit(3)), 3, ""),
    ],
)
def test_how_a_command_ends(
    command: Callable[[], object], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        end(command)
    assert ended.value.code == status and capsys.readouterr().err == said


def test_other_errors_are_bugs_and_keep_their_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        end(raising(ZeroDivisionError()))


pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # runpy, of what is imported already

SCRIPTS = [
    ("acutance.evaluate.page", ["nowhere.json", "-o", "page.md"], 1, "nowhere.json: cannot be read"),
    ("acutance.evaluate.fit", ["nowhere"], 1, "nowhere"),
    ("acutance.export.all", ["models", "--cards", "cards", "--data", "nowhere"], 1, "bad.onnx: "),
    ("acutance.export.cards", ["cards", "--quality", "nowhere.json"], 1, "nowhere.json: cannot be read"),
    ("acutance.export.sensitivity", ["no-model", "--data", "nowhere"], 1, "no model is named 'no-model'"),
    ("acutance.train.sweep", ["no-recipe", "--data", "nowhere"], 2, "no recipe is named 'no-recipe'"),
]


@pytest.mark.parametrize(("module", "arguments", "status", "said"), SCRIPTS)
def test_what_runs_by_python_m_says_it_in_one_line(
    module: str,
    arguments: list[str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if module.startswith(("acutance.export", "acutance.train")):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/bad.onnx").write_bytes(b"no model")
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == status and len(lines) == 1
    assert lines[0].startswith("acutance: ") and said in lines[0]
