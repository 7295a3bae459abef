"""What a file that this package wrote says about how it was made, as one JSON line that any container can hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..geometry import Derivation

KEY = "acutance"
"""First key of the JSON object, keyword of the PNG text chunk."""

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """The source and the settings of a written file.

    Attributes
    ----------
    source : str
        SHA-256 of the source file in hex.
    derivations : tuple of Derivation
        One for each picture of the file, in order.
    """

    source: str
    derivations: tuple[Derivation, ...]

    def text(self) -> str:
        """Return the record as one line of ASCII JSON; equal derivations stand in it once."""
        distinct = list(dict.fromkeys(self.derivations))
        said: dict[str, Any] = {
            KEY: FORMAT,
            "source_sha256": self.source,
            "derivations": [dataclasses.asdict(d) for d in distinct],
            "pictures": len(self.derivations),
        }
        if len(distinct) > 1:
            said["derivation_of_picture"] = [distinct.index(d) for d in self.derivations]
        return json.dumps(said, separators=(",", ":"))


def parse(text: str | bytes | None) -> Record | None:
    """Read what :meth:`Record.text` wrote; None when it is anything else."""
    try:
        said = json.loads(text or "")
        if said[KEY] != FORMAT:
            return None
        distinct = [Derivation(**d) for d in said["derivations"]]
        places = said.get("derivation_of_picture") or [0] * int(said["pictures"])
        return Record(str(said["source_sha256"]), tuple(distinct[i] for i in places))
    except (ValueError, TypeError, KeyError, IndexError):
        return None


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    return digest.hexdigest()


def made(derivations: Iterable[Derivation | None], source: str) -> Record | None:
    """Return the record of enhanced pictures; None when one of them is not enhanced."""
    found = tuple(derivations)
    return None if None in found else Record(source, tuple(d for d in found if d is not None))
