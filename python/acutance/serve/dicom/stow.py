"""Sends DICOM files by DICOMweb STOW-RS (PS3.18 10.5), byte for byte.

dicomweb-client makes the session. Its own ``store_instances`` encodes data sets anew and holds them in memory several
times; here the file goes out as it lies on the disk.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.session_utils import add_certs_to_session, create_session, create_session_from_user_pass
from pydicom.dataset import Dataset

from ...beside import reason
from ...errors import UsageError
from .part10 import Received
from .send import Link, NotSent
from .settings import Stow

_CHUNK = 1 << 20
_DUPLICATE = 0x0111
_LONGEST_ANSWER = 1 << 22

_REFUSED = (400, 409, 413, 415, 422)
"""HTTP statuses that speak of this instance; others speak of the service."""


class StowLink(Link):
    """A session with a DICOMweb service.

    Parameters
    ----------
    settings : Stow

    Raises
    ------
    UsageError
        A file that the settings name cannot be read.
    """

    def __init__(self, settings: Stow) -> None:
        self.settings = settings
        for path in (settings.password_file, settings.token_file, settings.certificate, settings.key):
            _first_line(path)
        if settings.authorities is not None:
            _first_line(settings.authorities)
        self._session: requests.Session | None = None

    def send(self, path: Path, about: Received) -> str:
        """Send a file; return the HTTP status of the answer."""
        if self._session is None:
            self._session = _session(self.settings)
        body = _Body(path)
        headers = {
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={body.boundary}',
        }
        try:
            answer = self._session.post(
                f"{self.settings.url.rstrip('/')}/studies",
                data=body,
                headers=headers,
                timeout=self.settings.timeout_s,
                allow_redirects=False,  # to no address that the settings do not name
                stream=True,
            )
            with answer:
                return self._judged(answer)
        except requests.RequestException as e:
            self.close()
            raise NotSent(f"cannot be reached ({type(e).__name__})", refused=False) from None

    def _judged(self, answer: requests.Response) -> str:
        status = answer.status_code
        content = answer.raw.read(_LONGEST_ANSWER, decode_content=True)
        if status not in (200, 202, 409):
            raise NotSent(f"answered with HTTP status {status}", refused=status in _REFUSED)
        failures = _failures(answer.headers.get("Content-Type", ""), content)
        if failures and all(x == _DUPLICATE for x in failures):
            return "0111"
        if failures or status == 409:
            codes = ", ".join(f"{x:04X}" for x in failures) or "none"
            busy = bool(failures) and all(x >> 8 == 0xA7 for x in failures)
            raise NotSent(f"answered with HTTP status {status}, failure reason {codes}", refused=not busy)
        return str(status)

    def rest(self) -> None:
        """Keep the session: it holds no more than an idle connection."""

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
            self._session = None


class _Body:
    """A multipart message (PS3.18 8.6.1) with one file, read piece by piece."""

    def __init__(self, path: Path) -> None:
        self.path, self.boundary = path, secrets.token_hex(16)
        self._head = f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self._size = path.stat().st_size

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        with self.path.open("rb") as file:
            while part := file.read(_CHUNK):
                yield part
        yield self._tail


def _session(settings: Stow) -> requests.Session:
    if settings.user is not None:
        session = create_session_from_user_pass(settings.user, _first_line(settings.password_file))
    else:
        session = create_session()
    session.trust_env = False  # no proxy and no password that the settings do not name
    if settings.token_file is not None:
        session.headers["Authorization"] = f"Bearer {_first_line(settings.token_file)}"
    if settings.authorities is not None:
        add_certs_to_session(session, str(settings.authorities))
    if settings.certificate is not None:
        session.cert = (str(settings.certificate), str(settings.key))
    return session


def _first_line(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open() as file:
            return file.readline().strip()
    except UnicodeDecodeError:
        raise UsageError("is no text file", path) from None
    except OSError as e:
        raise UsageError(f"cannot be read ({reason(e)})", path) from None


def _failures(kind: str, content: bytes) -> list[int]:
    """Return the failure reasons of a response (PS3.18 annex I.2.2); an answer that cannot be read holds none."""
    if "json" not in kind or not content:
        return []
    try:
        said: Any = Dataset.from_json(content.decode())
        return [int(item.get("FailureReason", 0)) for item in said.get("FailedSOPSequence") or ()]
    except Exception:  # whatever is in it: the HTTP status has the word
        return []
