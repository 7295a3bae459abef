"""A header without what the confidentiality profile takes away (PS3.15 E.1)."""

from __future__ import annotations

import datetime
import importlib.metadata
import re
from collections.abc import Callable, Collection, Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code

from ..dicom import groups
from ..dicom.derive import copied
from ..dicom.layout import text
from .key import Key
from .profile import BASIC, CLEAN_PIXELS, CODES, EDITION, PROFILE, Action, Retain, action, program

REMOVED = "REMOVED"
"""What stands where something was that has to stand there."""

_DUMMIES: dict[str, object] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), REMOVED),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("DS", "IS"), "0"),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
}
"""Values that say nothing, by value representation; others are emptied."""

_OLDEST = 89
"""Years up to which an age may be told (45 CFR 164.514(b)(2)(i)(C))."""

_TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")

_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName")
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator")

_SHORTEST = 3
"""Letters below which a name or number is no more than a chance match in another text."""

_WELL_KNOWN = "1.2.840.10008."
"""UIDs of the standard (PS3.6 Annex A)."""


def pseudonym(header: Dataset, key: Key) -> str:
    """Return what a patient is called: by the Patient ID, else by name and birth date, else by the study or series."""
    found: tuple[str, ...] = ("patient", text(header, "PatientID"))
    if not found[1]:
        found = ("person", text(header, "PatientName"), text(header, "PatientBirthDate"))
    if not found[1]:
        uids = (text(header, x) for x in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
        found = ("study", next((x for x in uids if x), ""))
    return f"s{key.token(*found)[:16]}"


def clean(header: Dataset, key: Key, retained: Collection[Retain] = (), *, pixels_cleaned: bool = False) -> Dataset:
    """Return a copy of a header as the profile wants it.

    Parameters
    ----------
    header : Dataset
        As :func:`acutance.dicom.read` gives it: without pixels. It stays as it is.
    key : Key
        Of pseudonyms, new UIDs and moved dates: the same key makes the same of the same.
    retained : collection of Retain
        Options of the profile that keep more.
    pixels_cleaned : bool
        Whether what may name a person was blanked in the pixels (PS3.15 E.3.1).

    Returns
    -------
    Dataset
        Each attribute as :func:`~.profile.action` says, in items of sequences as well. Texts that are kept but hold the
        patient's names or numbers become ``REMOVED``. Patient's Name and Patient ID are the pseudonym, and the file
        says by what it was de-identified (PS3.3 C.7.1.1, C.12.1).
    """
    out = copied(header, swap=getattr(header, "original_encoding", (None, True))[1] is False)
    subject = pseudonym(header, key)
    _clean(out, key, retained, key.days(subject) if Retain.shifted_dates in retained else 0)
    _scrub(out, _identity(header))
    out.PatientName = out.PatientID = subject
    for keyword in ("PatientBirthDate", "PatientSex"):  # required, but may be empty
        if keyword not in out:
            setattr(out, keyword, "")
    _mark(out, header, retained, pixels_cleaned)
    return out


def _clean(dataset: Dataset, key: Key, retained: Collection[Retain], days: int) -> None:
    for element in list(dataset):
        todo = action(element.tag, element.VR, retained)
        if todo is Action.REMOVE or (todo is Action.REPLACE and element.VR == "SQ"):
            del dataset[element.tag]
        elif todo is Action.EMPTY or (todo is Action.REPLACE and element.VR not in _DUMMIES):
            element.clear()
        elif todo is Action.REPLACE:
            element.value = element.value if element.is_empty else _DUMMIES[element.VR]
        elif todo is Action.UID:
            _each(element, lambda uid: uid if uid.startswith(_WELL_KNOWN) else key.uid(uid))
        elif element.VR == "SQ":
            for item in element.value or ():
                _clean(item, key, retained, days)
        elif days and element.VR in ("DA", "DT"):
            _each(element, lambda date: moved(date, days) or str(_DUMMIES[element.VR]))  # noqa: B023
        elif element.VR == "AS":
            _each(element, _age)


def _each(element: DataElement, change: Callable[[str], str]) -> None:
    """Change every value of an element that is not empty."""
    if element.is_empty:
        return
    if isinstance(element.value, MultiValue):
        element.value = [change(str(x)) if str(x) else "" for x in element.value]
    else:
        element.value = change(str(element.value))


def moved(date: str, days: int) -> str | None:
    """Return a date, or date and time, ``days`` earlier, None where it names no day."""
    try:
        day = datetime.date(int(date[:4]), int(date[4:6]), int(date[6:8]))
        earlier = day - datetime.timedelta(days)
    except (ValueError, OverflowError):
        return None
    return f"{earlier.year:04}{earlier.month:02}{earlier.day:02}{date[8:]}"


def _age(value: str) -> str:
    years = value.endswith("Y") and value[:-1].isdecimal() and int(value[:-1]) > _OLDEST
    return f"{_OLDEST + 1:03}Y" if years else value


def _identity(header: Dataset) -> re.Pattern[str] | None:
    """Return what finds the names and numbers of the patient in other texts."""
    places = [header, *groups.items(header, "OtherPatientIDsSequence")]
    words = {x for place in places for keyword in _NUMBERS for x in _values(place, keyword)}
    for keyword in _NAMES:
        words |= {x for value in _values(header, keyword) for x in re.split(r"[\s^=,.]+", value)}
    found = sorted((re.escape(x) for x in words if len(x) >= _SHORTEST), key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])({'|'.join(found)})(?![^\W_])", re.IGNORECASE) if found else None


def _values(header: Dataset, keyword: str) -> Iterator[str]:
    try:
        found = header.get(keyword)
        values = found if isinstance(found, MultiValue | list) else [found]
        yield from (str(x).strip() for x in values if x is not None and str(x).strip())
    except Exception:  # what a damaged value raises depends on its VR
        return


def _scrub(dataset: Dataset, identity: re.Pattern[str] | None) -> None:
    if identity is None:
        return
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                _scrub(item, identity)
        elif element.VR in _TEXT and not element.is_empty:
            found = identity
            _each(element, lambda value: REMOVED if found.search(value) else value)  # noqa: B023


def _mark(out: Dataset, header: Dataset, retained: Collection[Retain], pixels_cleaned: bool) -> None:
    """Say by what the object was de-identified (PS3.3 C.7.1.1, C.12.1; PS3.15 E.3); what was said before stays."""
    out.PatientIdentityRemoved = "YES"
    said = [f"PS3.15 {EDITION} {PROFILE}", program(), f"acutance {importlib.metadata.version('acutance')}"]
    before = [x for x in _values(out, "DeidentificationMethod") if x not in said]
    out.DeidentificationMethod = [*before, *said]
    used = [BASIC, *([CLEAN_PIXELS] if pixels_cleaned else []), *(CODES[x] for x in Retain if x in retained)]
    earlier = groups.items(out, "DeidentificationMethodCodeSequence")
    there = {text(item, "CodeValue") for item in earlier}
    out.DeidentificationMethodCodeSequence = [*earlier, *(_item(x) for x in used if x.value not in there)]
    if pixels_cleaned:
        out.BurnedInAnnotation = "NO"
    kept = "UNMODIFIED" if Retain.dates in retained else "MODIFIED" if Retain.shifted_dates in retained else "REMOVED"
    earlier_kept = text(header, "LongitudinalTemporalInformationModified")
    order = ["UNMODIFIED", "MODIFIED", "REMOVED"]
    out.LongitudinalTemporalInformationModified = max(
        kept, earlier_kept if earlier_kept in order else kept, key=order.index
    )


def _item(code: Code) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return made
