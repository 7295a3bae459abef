"""Measured times of kernels, kept from build to build of full TensorRT on one GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import trusted
from .device import Device
from .flavour import Flavour


class TimingCache:
    """One file for a GPU and a build of TensorRT, shared by all builders of the user.

    Parameters
    ----------
    folder : Path
        Of the engine store.
    """

    def __init__(self, folder: Path, device: Device, flavour: Flavour) -> None:
        self.path = folder / f"{device.slug}-{device.sm.lower()}x{device.sm_count}-{flavour.version}.timing"

    def attach(self, config: Any) -> Any:
        """Give the builder what is known; return TensorRT's cache, to which it adds."""
        with trusted.lock(self.path):
            known = self._read()
        cache = config.create_timing_cache(known)
        if cache is None or not config.set_timing_cache(cache, False):
            # Made by a driver or a TensorRT that is no longer there, although the version is the same.
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache

    def merge(self, config: Any, cache: Any) -> None:
        """Add what a build measured to the file, and keep what others added to it since."""
        with trusted.lock(self.path):
            others = self._read()
            if others:
                merged = config.create_timing_cache(others)
                if merged is not None and merged.combine(cache, False):
                    cache = merged
            trusted.write(self.path, bytes(cache.serialize()), {"kind": "timing cache"})

    def _read(self) -> bytes:
        """Return the file's bytes; empty when there is none or it is not the user's own, for it is soon made anew."""
        try:
            return trusted.read(self.path)[0]
        except trusted.Refused:
            return b""
