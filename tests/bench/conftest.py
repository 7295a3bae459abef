"""The command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from acutance import cli


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run ``acutance`` with arguments; return exit status, stdout, and the lines of stderr."""

    def run(*arguments: Any) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return SimpleNamespace(code=int(end.value.code or 0), out=said.out, err=said.err.splitlines())

    return run
