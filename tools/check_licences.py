"""Refuse installed packages whose licence does not go with Apache-2.0.

    pip-licenses --python PYTHON --from=mixed --format=json | python tools/check_licences.py

Permissive licences pass. Weak copyleft (MPL, LGPL) passes for packages named here, after a look at how we use them:
unmodified, through their public interface. GPL, AGPL, unknown and other licences are refused. NVIDIA's proprietary
runtimes are the one exception: the user installs them, and they are never redistributed.
"""

from __future__ import annotations

import json
import re
import sys

PERMISSIVE = (
    r"apache([ -]software)?([ -]license)?([ -]2(\.0)?)?",
    r"(new |modified |revised )?(0|[23]-clause )?bsd([ -][0-3]-clause)?([ -]license)?",
    r"0bsd",
    r"(the )?mit([ -]license)?|mit-0|mit-cmu|hpnd",
    r"isc([ -]license)?",
    r"(psf|python)-2\.0(\.1)?|python software foundation license",
    r"zlib|zlib/libpng license|bsl-1\.0|boost software license 1\.0.*|(the )?unlicense",
    r"cc0-1\.0|public domain|blueoak-1\.0\.0|unicode-3\.0",
    r"apache-2\.0 with llvm-exception|llvm-exception",
    r"licenseref-ismrmrdsoftwarelicense",
    r"gpl-3\.0-or-later with gcc-exception-3\.1",
)
"""ISMRMRD's is MIT's, with BSD's clause against endorsement. The last is the GCC runtime library (libgcc, libgomp),
which puts no condition on programs that use it."""

WEAK = r"mpl-2\.0|mozilla public license 2\.0|lgpl.*|gnu (library or )?lesser general public license.*"

JUDGED = {"hypothesis", "pathspec", "tqdm", "certifi"}
"""Packages under weak copyleft that we use unmodified. hypothesis and pathspec: tests and linting only; tqdm: training
and building data sets only."""

NVIDIA = re.compile(r"(nvidia-.*|tensorrt.*|cuda-.*)")
"""Proprietary runtimes of NVIDIA."""


def objection(name: str, licence: str) -> str | None:
    """Return why the package may not be used, or None.

    Parameters
    ----------
    name : str
        Distribution name.
    licence : str
        SPDX expression, licence name, or classifiers joined by ``;``.
    """
    name = name.lower().replace("_", "-")
    if NVIDIA.fullmatch(name) or _holds(name, licence.lower()):
        return None
    return f"{name}: licence '{' '.join(licence.split())[:200]}' is not on the list in tools/check_licences.py"


def _holds(name: str, text: str) -> bool:
    """Evaluate an SPDX expression: one side of each OR must pass, both of each AND; ``;`` and ``,`` count as AND."""
    for separator, combine in ((" or ", any), (" and ", all), (";", all), (",", all)):
        parts = _split(text, separator)
        if len(parts) > 1:
            return combine(_holds(name, part) for part in parts)
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        return _holds(name, text[1:-1])
    term = re.sub(r"\s+\([^()]*\)$", "", text)
    return any(re.fullmatch(p, term) for p in PERMISSIVE) or (name in JUDGED and re.fullmatch(WEAK, term) is not None)


def _split(text: str, separator: str) -> list[str]:
    """Split ``text`` at ``separator`` outside of brackets."""
    parts: list[str] = []
    for piece in text.split(separator):
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += separator + piece
        else:
            parts.append(piece)
    return parts


if __name__ == "__main__":
    packages = json.load(sys.stdin)
    bad = [o for p in packages if (o := objection(p["Name"], p["License"]))]
    for line in bad:
        print(line, file=sys.stderr)
    print(f"{len(packages)} packages looked at, {len(bad)} refused")
    sys.exit(bool(bad) or not packages)
