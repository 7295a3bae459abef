"""Which config a client asks for, and what that is here."""

from __future__ import annotations

import contextlib
import json
import threading
import xml.etree.ElementTree as ET

from ... import model as models
from ...errors import UsageError
from ..enhance import EnhanceSettings
from .images import Enlarger
from .settings import DEFAULT, PASSTHROUGH, MrdSettings

LONGEST_NAME = 128

LONGEST_TEXT = 10**6
"""Characters of a text that is looked into: all connections wait meanwhile."""

FALLEN = 10
"""Images in a row that could not be enhanced, after which the service is not well."""


def name_in(text: str) -> str | None:
    """Return the name of a config that a text asks for; None when it asks for none.

    It is the whole text where that is one short word; ``parameters.config`` or ``parameters.customconfig`` in JSON, as
    clients of Siemens' OpenRecon send them; an attribute or element ``config`` of the root in XML, as Gadgetron sends
    its ``<configuration>``.
    """
    text = text.strip()
    parameters = parameters_in(text)
    if parameters is not None:
        names = [parameters.get(key) for key in ("customconfig", "config")]
        return next((n for n in names if isinstance(n, str) and n), None)
    if text.startswith("<"):
        if "<!DOCTYPE" not in text and len(text) <= LONGEST_TEXT:
            with contextlib.suppress(ET.ParseError, ValueError):
                root = ET.fromstring(text)
                return root.get("config") or root.findtext("config") or None
        return None
    return text if 0 < len(text) <= LONGEST_NAME and not any(c.isspace() or c in "{}[]" for c in text) else None


def parameters_in(text: str) -> dict[str, object] | None:
    """Return ``parameters`` of a JSON text, which makes it a configuration; None when it is none."""
    if not text.startswith("{") or len(text) > LONGEST_TEXT:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(text)
        if isinstance(said, dict) and isinstance(said.get("parameters"), dict):
            return dict(said["parameters"])
    return None


class Configs:
    """The configs of a server, each with one Enlarger that all connections share.

    Parameters
    ----------
    settings : MrdSettings
    """

    def __init__(self, settings: MrdSettings) -> None:
        self._settings = settings
        self._open: dict[str, Enlarger] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return all names that a client may use."""
        return [DEFAULT, PASSTHROUGH, *self._settings.configs, *models.names()]

    def open_all(self) -> None:
        """Open what the settings describe.

        Raises
        ------
        UsageError, ModelError
            A config contradicts itself, or its model cannot be loaded.
        """
        for name in (DEFAULT, *self._settings.configs):
            try:
                self.get(name)
            except UsageError as e:
                raise UsageError(f"config '{name}': {e.message}") from None

    def get(self, name: str) -> Enlarger | None:
        """Return what a config enhances by; None when it passes everything through.

        Raises
        ------
        UsageError, ModelError
            There is no such config, or it contradicts itself.
        """
        if name == PASSTHROUGH:
            return None
        with self._lock:
            if name not in self._open:
                self._open[name] = Enlarger(self._enhance(name).enhancer(), self._settings)
            return self._open[name]

    def health(self) -> str | None:
        """Return why the last images of a config were not enhanced, where there were many in a row."""
        with self._lock:
            failing = {name: e for name, e in self._open.items() if e.fallen >= FALLEN}
        return next((f"config '{n}': the last {e.fallen} images were not enhanced" for n, e in failing.items()), None)

    def close(self) -> None:
        """Give back what the backends hold."""
        with self._lock:
            for enlarger in self._open.values():
                enlarger.close()
            self._open.clear()

    def _enhance(self, name: str) -> EnhanceSettings:
        settings = self._settings
        if name == DEFAULT:
            return settings.enhance
        if name in settings.configs:
            return settings.configs[name]
        if name in models.names():
            return settings.enhance.model_copy(update={"model": name, "scale": None})
        raise UsageError(f"no config has the name that was asked for; there are {', '.join(self.names())}")
