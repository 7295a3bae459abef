"""The script that installs Debian packages, with doubles of Debian's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "install_debian.sh"

DOUBLES = {
    "dpkg-query": 'case " there " in *" $4 "*) echo "install ok installed";; *) exit 1;; esac',
    "apt-cache": 'case " new other " in *" $2 "*) echo "  Candidate: 1.0";; *) echo "  Candidate: (none)";; esac',
    "apt-get": 'echo "$@" >> "$CALLS"; [ "$1" = update ] && exit\nsh "$POLICY_RC_D" || echo "policy $?" >> "$CALLS"\n'
    "exit $FAILS",
    "sudo": 'exec "$@"',
}


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    for name, text in DOUBLES.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "POLICY_RC_D": str(tmp_path / "policy-rc.d"),
        "FAILS": "0",
    }


def install(machine: dict[str, str], *packages: str) -> tuple[int, str, list[str]]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    done = subprocess.run([bash, SCRIPT, *packages], env=machine, capture_output=True, text=True, check=False)
    calls = Path(machine["CALLS"])
    return done.returncode, done.stderr, calls.read_text().splitlines() if calls.exists() else []


def test_what_is_there_is_left_alone(machine: dict[str, str]) -> None:
    assert install(machine, "there", "missing,there") == (0, "", [])


def test_the_first_known_name_is_installed_and_no_service_starts(machine: dict[str, str]) -> None:
    status, _, calls = install(machine, "there", "unknown,new,other")
    assert status == 0 and calls[0].startswith("update")
    assert calls[1].startswith("install") and calls[1].split()[-1] == "new"
    assert calls[2] == "policy 101" and not Path(machine["POLICY_RC_D"]).exists()


def test_a_policy_that_is_there_stays(machine: dict[str, str]) -> None:
    policy = Path(machine["POLICY_RC_D"])
    policy.write_text("exit 7\n")
    assert install(machine, "new")[2][2] == "policy 7"
    assert policy.read_text() == "exit 7\n"


def test_failures_are_told_and_clean(machine: dict[str, str]) -> None:
    status, said, calls = install(machine, "unknown,nothing")
    assert status == 1 and "cannot install unknown or nothing" in said and len(calls) == 1
    status, _, calls = install({**machine, "FAILS": "9"}, "new")
    assert status == 9 and calls[-1] == "policy 101"
    assert not Path(machine["POLICY_RC_D"]).exists()
