"""The key of the pseudonyms: without it nobody can tell who is who."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import uuid
from collections.abc import Sequence
from pathlib import Path

from ..beside import reason
from ..errors import InputError, OutputError

KEY_NAME = ".acutance.key"
"""Where the key lies beside the source when no other place is named."""

KEY_BYTES = 32


class Key:
    """The secret without which a pseudonym leads nowhere.

    Parameters
    ----------
    path : Path
        Of the file that holds it, in hex.

    Raises
    ------
    InputError
        The file cannot be read or holds no key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror}); wanted a key of pseudonyms", path) from None
        except ValueError:
            self._secret = b""
        if len(self._secret) != KEY_BYTES:
            raise InputError(f"holds no key; wanted {2 * KEY_BYTES} hexadecimal digits", path)

    @classmethod
    def make(cls, path: Path) -> Key:
        """Write a fresh key that only its owner may read.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
        except OSError as e:
            raise OutputError(
                f"the key of the pseudonyms cannot be written: {reason(e)}; --key names another place", path
            ) from None
        return cls(path)

    def token(self, *parts: str) -> str:
        """Return the keyed hash of some text in hex."""
        line = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, line, hashlib.sha256).hexdigest()[:32]

    def mark(self) -> str:
        """Return what tells one key from another and gives nothing of it away."""
        return self.token("key")

    def uid(self, old: str) -> str:
        """Return what stands for a UID (PS3.5 B.2): the same each time, and nothing leads back to the old one."""
        return f"2.25.{uuid.UUID(hex=self.token('uid', old), version=4).int}"

    def days(self, subject: str) -> int:
        """Return by how many days the dates of a subject are moved back: 1 to 3650."""
        return int(self.token("days", subject), 16) % 3650 + 1


def place_of(arguments: Sequence[str], named: Path | None) -> Path:
    """Return where the key lies or is to lie: where the user says, else beside the first source."""
    first = Path(arguments[0])
    return named or (first if first.is_dir() else first.parent) / KEY_NAME
