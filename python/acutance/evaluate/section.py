"""Further sections of docs/quality.md, by JSON files beside the report: what programs of their own score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..beside import beside
from ..errors import InputError


def read(path: Path) -> dict[str, Any]:
    """Read a section: ``title``, ``text``, ``heads`` and ``lines`` of one table, all of them text.

    What is scored by other programs than this one comes by such files: sequences, guides, coverage of quantiles.

    Raises
    ------
    InputError
        The file cannot be read or has not these fields.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        lines = [[str(cell) for cell in line] for line in said["lines"]]
        heads = [str(head) for head in said["heads"]]
        found = {"title": str(said["title"]), "text": str(said["text"]), "heads": heads, "lines": lines}
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"is no section ({e}); wanted title, text, heads and lines", path) from None
    if any(len(line) != len(heads) for line in lines):
        raise InputError(f"has lines that are not {len(heads)} cells wide, as its heads are", path)
    return found


def give(section: Mapping[str, Any], output: Path | None) -> None:
    """Print a section's table and write the section to ``output``, beside and renamed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    for line in (section["heads"], *section["lines"]):
        print("\t".join(line))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with beside(output) as file:
            file.write(json.dumps(section, indent=1).encode())
