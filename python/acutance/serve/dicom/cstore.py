"""Sends DICOM files by C-STORE (PS3.4 B), byte for byte."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from ...dicom.quiet import quiet
from .part10 import Received
from .send import Link, NotSent
from .settings import CStore
from .tls import client_context

_config.STORE_SEND_CHUNKED_DATASET = True  # from the file as it is; pynetdicom would decode and encode it anew

_NATIVE = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))

_MOST = 60
"""Pairs of class and transfer syntax of an association, which holds 128 contexts (PS3.8 9.3.2.2), two for each pair."""

_PDU = 131072
"""Largest PDU that is taken, in bytes; the destination says what it takes."""

_DUPLICATE = 0x0111
"""Duplicate SOP Instance (PS3.7 C.5.8): it has it already."""


class CStoreLink(Link):
    """An association with a destination, opened when there is something to send.

    Parameters
    ----------
    settings : CStore
    calling_ae : str
        Own AE title where the settings name none.

    Raises
    ------
    UsageError
        A certificate cannot be used.
    """

    def __init__(self, settings: CStore, calling_ae: str) -> None:
        self.settings = settings
        self._tls = (client_context(settings.tls), str(settings.address)) if settings.tls else None
        self._ae = AE(ae_title=settings.calling_ae or calling_ae)
        self._ae.maximum_pdu_size = _PDU
        self._ae.connection_timeout = self._ae.acse_timeout = settings.timeout_s
        self._ae.dimse_timeout = self._ae.network_timeout = settings.timeout_s
        self._association: Association | None = None
        self._pairs: dict[tuple[str, str], None] = {}
        self._last = 0.0
        self._number = 0

    def send(self, path: Path, about: Received) -> str:
        """Send a file; return the status of the answer in hexadecimal."""
        association = self._open(about)
        self._number = self._number % 65535 + 1
        what: Any = path
        with quiet():
            if not self._takes(association, about):
                if about.syntax not in _NATIVE or not any(self._takes(association, about, x) for x in _NATIVE):
                    raise NotSent(f"does not take {_named(about.class_uid)} in {_named(about.syntax)}", refused=True)
                what = pydicom.dcmread(path)  # the same elements in the other native syntax
            answer = association.send_c_store(what, msg_id=self._number)
        self._last = time.monotonic()
        status = answer.get("Status")
        if status is None:
            self.close()
            raise NotSent("gave no answer", refused=None)
        said = f"{status:04X}"
        # Warnings say that it was stored, if with changes (PS3.4 table B.2-1, PS3.7 C.4).
        if status in (0x0000, 0x0001, _DUPLICATE, 0x0107, 0x0116) or status >> 12 == 0xB:
            return said
        raise NotSent(f"answered with status {said}", refused=status >> 8 != 0xA7 and status != 0x0124)

    def rest(self) -> None:
        """Release the association when nothing was sent for a while."""
        if self._association is not None and time.monotonic() - self._last >= self.settings.idle_s:
            self.close()

    def close(self) -> None:
        """Release the association."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def _open(self, about: Received) -> Association:
        """Return an association in which the class and syntax of a file were asked for."""
        pair = (about.class_uid, about.syntax)
        known = pair in self._pairs
        if known and self._association is not None and self._association.is_established:
            return self._association
        self.close()
        self._pairs[pair] = self._pairs.pop(pair, None)  # the last one used is the last to be dropped
        for old in list(self._pairs)[:-_MOST]:
            del self._pairs[old]
        made = self._ae.associate(
            str(self.settings.address),
            self.settings.port,
            self._contexts(),
            self.settings.ae_title,
            tls_args=self._tls,
        )
        if not made.is_established:
            raise NotSent("rejects the association" if made.is_rejected else "cannot be reached", refused=False)
        self._association, self._last = made, time.monotonic()
        return made

    def _contexts(self) -> list[PresentationContext]:
        wanted: dict[tuple[str, str], None] = {}
        for class_uid, syntax in self._pairs:
            for one in _NATIVE if syntax in _NATIVE else (syntax,):
                wanted[class_uid, one] = None
        return [build_context(class_uid, syntax) for class_uid, syntax in wanted]

    def _takes(self, association: Association, about: Received, syntax: str | None = None) -> bool:
        wanted = syntax or about.syntax
        return any(
            c.abstract_syntax == about.class_uid and c.transfer_syntax[0] == wanted
            for c in association.accepted_contexts
        )


def _named(uid: str) -> str:
    """Return the name of a UID of the standard; another one is not repeated, since anything may stand in it."""
    found = UID(uid)
    return str(found.name) if found.is_valid and not found.is_private and found.name != uid else "an unknown UID"
