"""DICOM files in and out.

A file becomes Frames by :func:`read`; the enhanced Frames of one file become a derived object by :func:`derive`, which
:func:`write` puts into a file. :func:`find` sorts files into series, :func:`check` says beforehand what may not be
derived, and :func:`derived_uid` which object would come out. :func:`locate` puts the slices of a volume in their
places, :func:`derive_stack` makes the objects of new slices, and :func:`stack_uids` says which.
"""

from .capture import capture
from .derive import check, derive
from .layout import MAX_PIXELS
from .provenance import is_ours
from .read import read
from .series import Found, Series, find
from .stack import Located, derive_stack, locate, stack_uids
from .uids import derived_uid
from .write import encode, write

__all__ = [
    "MAX_PIXELS",
    "Found",
    "Located",
    "Series",
    "capture",
    "check",
    "derive",
    "derive_stack",
    "derived_uid",
    "encode",
    "find",
    "is_ours",
    "locate",
    "read",
    "stack_uids",
    "write",
]
