"""The README's Python runs, and its commands and options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert len(blocks("python")) >= 3
    exec(compile("\n".join(blocks("python")), "README.md", "exec"), {})
    assert (tmp_path / "ct-abdomen_x2.dcm").stat().st_size > 2 * 1024 * 1024


def test_enhance_commands_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acutance import cli

    lines = [re.sub(r"#.*", "", x)[2:].split() for b in blocks("console") for x in b.splitlines()]
    commands = [x[1:] for x in lines if x[0] == "acutance" and "--help" not in x]
    assert commands
    monkeypatch.chdir(tmp_path)
    example = (ROOT / "examples" / "ct-abdomen.dcm").read_bytes()
    for argument in {a for command in commands for a in command[1 : command.index("-o")]}:
        target = tmp_path / argument / "slice.dcm" if argument.endswith("/") else tmp_path / argument
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(example)
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        assert not end.value.code
        assert (tmp_path / command[command.index("-o") + 1]).exists()


def test_the_configuration_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from acutance import cli

    (text,) = blocks("toml")
    (tmp_path / "serve.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        cli.main(["serve", "--check", str(tmp_path / "serve.toml")])
    assert not end.value.code
    assert "node (dicom), navigation (openigtlink)" in capsys.readouterr().out


def test_every_kind_of_service_has_its_page() -> None:
    from acutance.serve.kinds import KINDS

    rows = dict(re.findall(r"^\| `(\w+)` \|.*\]\((docs/[\w-]+\.md)\)\) \|$", README, re.MULTILINE))
    assert rows.keys() == KINDS.keys()
    for kind, page in rows.items():
        assert f'kind = "{kind}"' in (ROOT / page).read_text(encoding="utf-8"), page


def test_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from acutance import cli

    with pytest.raises(SystemExit):
        cli.main(["enhance", "--help"])
    said = capsys.readouterr().out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help"}
    assert options
    assert not {o for o in options if o not in said}


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
