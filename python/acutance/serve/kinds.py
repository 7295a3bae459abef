"""The kinds of services. This is the one place where a kind is added.

A kind is a package beside this module, with a ``settings.py``, which needs nothing but pydantic, so that a
configuration can be checked without what the service needs, and a ``service.py`` with ``make(settings, context) ->
Service``, which is imported when a service of that kind is started.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ..errors import UsageError
from .dicom.settings import DicomSettings
from .mrd.settings import MrdSettings
from .openigtlink.settings import OpenIgtLinkSettings
from .page.settings import PageSettings
from .service import Context, Service, Settings
from .video.settings import VideoSettings

KINDS: dict[str, type[Settings]] = {
    "dicom": DicomSettings,
    "mrd": MrdSettings,
    "openigtlink": OpenIgtLinkSettings,
    "page": PageSettings,
    "video": VideoSettings,
}
"""Settings of each kind, by what ``kind`` says in the configuration."""


def make(settings: Settings, context: Context) -> Service:
    """Return the service that settings describe, not yet started.

    Raises
    ------
    UsageError
        It needs a package that is not installed.
    AcutanceError
        As the service says.
    """
    name = type(settings).__module__.removesuffix(".settings") + ".service"
    try:
        found: Callable[[Settings, Context], Service] = importlib.import_module(name).make
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("acutance"):
            raise
        raise UsageError(
            f"service '{settings.name}' needs {e.name}, which is not installed: pip install 'acutance[serve]'"
        ) from None
    return found(settings, context)
