"""DICOM files in and out.

A file becomes Frames by :func:`read`; the enhanced Frames of one file become a derived object by :func:`derive`, which
:func:`write` puts into a file. :func:`find` sorts files into series, :func:`check` says beforehand what may not be
derived, and :func:`derived_uid` which object would come out.
"""

from .derive import check, derive
from .layout import MAX_PIXELS
from .read import read
from .series import Found, Series, find
from .uids import derived_uid
from .write import write

__all__ = ["MAX_PIXELS", "Found", "Series", "check", "derive", "derived_uid", "find", "read", "write"]
