"""Keep the libraries below from writing on the user's terminal.

pydicom reports oddities through :mod:`warnings`, gdcm through its own trace and the JPEG libraries inside it with
``fprintf(stderr)``. None of that may flood a terminal, and some of it quotes values of the header. What Python code
writes to ``sys.stderr`` meanwhile, from any thread, still comes out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_NOISY = r"(pydicom|pylibjpeg|openjpeg|rle|PIL|acutance\.dicom)(\.|$)"

_lock = threading.Lock()
_users = 0
_filters: Any = None
_stderr: int | None = None
_null: int | None = None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Mute the DICOM and JPEG libraries inside the block; blocks may overlap in several threads."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _mute()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _unmute()


def _mute() -> None:
    global _filters, _stderr
    _filters = warnings.catch_warnings()
    _filters.__enter__()
    warnings.filterwarnings("ignore", module=_NOISY)
    variable = _c_stderr()
    if variable is not None:
        _stderr, variable.value = variable.value, _null


def _unmute() -> None:
    variable = _c_stderr()
    if variable is not None:
        variable.value = _stderr
    _filters.__exit__(None, None, None)


def _c_stderr() -> ctypes.c_void_p | None:
    """Return glibc's ``stderr`` variable, with ``_null`` open beside it; None where it cannot be replaced."""
    global _null
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    if _null is None:
        libc.fopen.restype = ctypes.c_void_p
        _null = libc.fopen(os.fsencode(os.devnull), b"w")
    return ctypes.c_void_p.in_dll(libc, "stderr") if _null else None


def _silence_gdcm() -> None:
    with contextlib.suppress(ImportError):
        import gdcm

        for switch in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
            switch()


_silence_gdcm()
