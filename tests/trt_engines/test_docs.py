"""docs/engines.md says what is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from acutance.trt_engines import options
from acutance.trt_engines.options import Options

from acutance import cli

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE))
    assert rows.keys() == Options.model_fields.keys()
    for name, field in Options.model_fields.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        if default is not None:
            assert rows[name] == f"`{json.dumps(default)}`", name


def test_recipes_and_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(f"`{name}`" in PAGE for name in options.recipes())
    said = ""
    for command in (["build"], ["enhance"], ["engines", "prune"], ["engines", "list"], ["engines", "verify"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, "--help"])
        assert not ended.value.code
        said += capsys.readouterr().out
    assert all(option in said for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE))
