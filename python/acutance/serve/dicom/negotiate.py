"""Which presentation contexts an association gets (PS3.8 9.3.2 and 9.3.3); pynetdicom reads and writes the PDUs."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from ...dicom import syntaxes
from ...dicom.classes import IMAGE_CLASSES
from ...dicom.quiet import quiet
from ...dicom.uids import IMPLEMENTATION
from .scp_settings import ReceiveSettings
from .wire import ASSOCIATE_RQ, Malformed

_APPLICATION = "1.2.840.10008.3.1.1.1"

_ACCEPTED, _NO_CLASS, _NO_SYNTAX = 0, 3, 4
"""Results of a presentation context (PS3.8 table 9-18)."""

_BEFORE_OTHERS = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
)
"""A sender that offers several has the pixels uncompressed or would compress them: it must not be made to lose any."""

_LAST = (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)

STORAGE_CLASSES = frozenset(str(c.abstract_syntax) for c in AllStoragePresentationContexts) | frozenset(IMAGE_CLASSES)


def _ordered(offered: Iterable[str]) -> tuple[str, ...]:
    found = {str(s) for s in offered}
    middle = [s for s in found if s not in _BEFORE_OTHERS and s not in _LAST]
    return (*(s for s in _BEFORE_OTHERS if s in found), *sorted(middle), *(s for s in _LAST if s in found))


READ = _ordered((*syntaxes.NATIVE, *syntaxes.COMPRESSED))
"""Transfer syntaxes whose pixels can be enhanced, the best first."""

PASSED_ON = _ordered((*READ, *ALL_TRANSFER_SYNTAXES))
"""Transfer syntaxes of what may be forwarded untouched, the best first."""


@dataclasses.dataclass(frozen=True)
class Context:
    """An accepted presentation context: a class and its transfer syntax."""

    class_uid: str
    syntax: str


def decode(body: memoryview) -> A_ASSOCIATE:
    """Return what an A-ASSOCIATE-RQ asks for.

    Raises
    ------
    Malformed
    """
    pdu = A_ASSOCIATE_RQ()
    try:
        with quiet():  # pydicom says aloud what is no UID
            pdu.decode(struct.pack(">BxL", ASSOCIATE_RQ, len(body)) + body)
            asked = pdu.to_primitive()
    except Exception:  # asserts, struct.error, KeyError, UnicodeError ...: whatever damaged bytes lead to
        raise Malformed("request damaged") from None
    if not asked.called_ae_title or not asked.calling_ae_title:
        raise Malformed("request without AE titles")
    return asked


def refusal(asked: A_ASSOCIATE, settings: ReceiveSettings) -> tuple[int, int, int] | None:
    """Return result, source and reason with which a request is rejected (PS3.8 table 9-21); None if it is not."""
    if str(asked.application_context_name) != _APPLICATION:
        return 1, 1, 2
    if asked.called_ae_title != settings.ae_title:
        return 1, 1, 7
    if "*" not in settings.callers and asked.calling_ae_title not in settings.callers:
        return 1, 1, 3
    return None


def answer(asked: A_ASSOCIATE, settings: ReceiveSettings) -> tuple[bytes, dict[int, Context]]:
    """Return the A-ASSOCIATE-AC PDU, and the presentation contexts that it accepts by their numbers."""
    with quiet():
        answers = _contexts(asked, settings)
        return _acceptance(asked, answers, settings), {
            int(a.context_id or 0): Context(str(a.abstract_syntax), str(a.transfer_syntax[0]))
            for a in answers
            if a.result == _ACCEPTED
        }


def _contexts(asked: A_ASSOCIATE, settings: ReceiveSettings) -> list[PresentationContext]:
    """Return the answer to each presentation context."""
    offered = _syntaxes_of(settings)
    found = []
    for context in asked.presentation_context_definition_list:
        answer = PresentationContext()
        answer.context_id, answer.abstract_syntax = context.context_id, context.abstract_syntax
        proposed = [str(s) for s in context.transfer_syntax]
        mine = offered(str(context.abstract_syntax))
        chosen = next((s for s in mine if s in proposed), None)
        answer.result = _NO_CLASS if not mine else _NO_SYNTAX if chosen is None else _ACCEPTED
        answer.transfer_syntax = [chosen or (proposed[0] if proposed else ImplicitVRLittleEndian)]
        found.append(answer)
    return found


def _syntaxes_of(settings: ReceiveSettings) -> Callable[[str], tuple[str, ...]]:
    """Return a function that gives the transfer syntaxes in which a class is taken: none if it is not."""
    others = settings.other_classes

    def offered(class_uid: str) -> tuple[str, ...]:
        if class_uid == Verification:
            return ImplicitVRLittleEndian, ExplicitVRLittleEndian
        if class_uid in IMAGE_CLASSES:
            return READ if others == "refuse" else PASSED_ON
        taken = class_uid in STORAGE_CLASSES if others == "forward" else others != "refuse" and class_uid in others
        return PASSED_ON if taken else ()

    return offered


def _acceptance(asked: A_ASSOCIATE, answers: list[PresentationContext], settings: ReceiveSettings) -> bytes:
    """Return the A-ASSOCIATE-AC PDU."""
    accept = A_ASSOCIATE()
    accept.application_context_name = _APPLICATION
    accept.calling_ae_title, accept.called_ae_title = asked.calling_ae_title, asked.called_ae_title
    accept.result, accept.result_source = 0, 1
    accept.presentation_context_definition_results_list = answers
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    # What is announced counts without the header of the PDU (PS3.8 D.1).
    length.maximum_length_received = settings.pdu_bytes
    implementation.implementation_class_uid = IMPLEMENTATION
    version.implementation_version_name = "ACUTANCE"
    accept.user_information = [length, implementation, version]
    return bytes(A_ASSOCIATE_AC(accept).encode())
