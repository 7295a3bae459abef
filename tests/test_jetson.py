"""Dockerfile.jetson names what exists, and docs/jetson.md commands that acutance has."""

from __future__ import annotations

import fnmatch
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "jetson.md").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, continued lines joined."""
    text = (ROOT / "Dockerfile.jetson").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found = [line.split(None, 1) for line in lines if line.strip()]
    assert all(len(x) == 2 for x in found)
    return [(name, rest) for name, rest in found]


def test_only_known_instructions_after_the_base() -> None:
    names = [name for name, _ in instructions()]
    assert set(names) <= {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "ENV", "VOLUME", "ENTRYPOINT"}
    assert set(names[: names.index("FROM")]) == {"ARG"} and names[-1] == "ENTRYPOINT"


def test_every_variable_is_set_before_it_is_used() -> None:
    known, beyond = set(), {"PATH"}
    for name, rest in instructions():
        used = set(re.findall(r"\$\{?(\w+)", rest))
        assert used <= known | (beyond if name != "FROM" else set()), rest
        if name == "FROM":
            known.clear()  # an ARG before FROM is not seen after it
        elif name in {"ARG", "ENV"}:
            known.add(rest.split("=")[0])


def test_all_that_the_build_needs_is_copied_and_sent() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    copied: set[str] = set()
    for name, rest in instructions():
        if name == "COPY":
            *sources, _ = rest.split()
            copied.update(sources)
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {folder.split("/")[0] for folder in project["tool"]["scikit-build"]["wheel"]["packages"].values()}
    files = {"pyproject.toml", "CMakeLists.txt", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == packages | files | {"csrc", "cmake"}
    sent = [x[1:] for x in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if x.startswith("!")]
    assert all(any(fnmatch.fnmatch(source, pattern) for pattern in sent) for source in copied)


def test_the_page_and_the_file_agree() -> None:
    values = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    assert f"`{values['BASE']}` |" in PAGE and values["ARCHITECTURE"] == "87"
    thor = re.search(
        r"^#   JetPack 7.*?BASE=(\S+) .*?ARCHITECTURE=(\d+)", (ROOT / "Dockerfile.jetson").read_text(), re.M | re.S
    )
    assert thor and f"BASE={thor[1]} --build-arg ARCHITECTURE={thor[2]} ." in PAGE
    for recipe in re.findall(r"--recipe (\w+)", PAGE):
        assert (ROOT / "trt_engines" / "recipes" / f"{recipe}.toml").is_file()


def commands() -> list[list[str]]:
    """Every command line of acutance on the page."""
    lines = re.findall(r"(?:^\$ |`|run .* )(acutance (?!-)[^`\n]*)", PAGE, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_and_options_exist(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from acutance import cli

    depth = 2 if command[0] in {"bench", "engines"} else 1
    with pytest.raises(SystemExit) as end:
        cli.main([*command[:depth], "--help"])
    assert not end.value.code
    said = capsys.readouterr().out
    assert "Usage" in said
    for option in (x for x in command if x.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", said), option
