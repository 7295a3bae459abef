from __future__ import annotations

import runpy
from pathlib import Path

import pytest

objection = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "check_licences.py"))["objection"]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("a", "MIT"),
        ("a", "BSD License"),
        ("a", "Apache Software License; BSD License"),
        ("a", "(MIT OR GPL-3.0-only) AND Unicode-3.0"),
        ("a", "Apache-2.0 WITH LLVM-exception"),
        ("ismrmrd", "LicenseRef-IsmrmrdSoftwareLicense"),
        ("tqdm", "MPL-2.0 AND MIT"),
        ("nvidia-cudnn-cu13", "LicenseRef-NVIDIA-Proprietary"),
    ],
)
def test_passes(name: str, licence: str) -> None:
    assert objection(name, licence) is None


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("a", "UNKNOWN"),
        ("a", ""),
        ("a", "AGPL-3.0"),
        ("a", "GPL-2.0-or-later"),
        ("a", "GNU General Public License v3 or later (GPLv3+)"),
        ("a", "MIT License; GNU Lesser General Public License v3 (LGPLv3)"),
        ("a", "(MIT OR Apache-2.0) AND GPL-3.0-only"),
        ("a", "MPL-2.0"),
        ("tqdm", "GPL-3.0-only"),
    ],
)
def test_refused_by_name(name: str, licence: str) -> None:
    assert str(objection(name, licence)).startswith(f"{name}: licence")
