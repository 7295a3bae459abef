"""What the page works with: opened files, enhancers, sessions."""

from __future__ import annotations

import collections
import hmac
import threading
import time

from ... import model as models
from ...enhancer import Enhancer, Result
from ...errors import UsageError
from ..service import Context
from .answers import ModelAnswer, Wanted
from .folder import PrivateFolder
from .kept import Kept
from .refused import Refused
from .runs import Run
from .series import Reader, Series, find
from .sessions import Session, Sessions
from .settings import PageSettings

MOST_ENHANCERS = 6
WRONG_TOKENS = 10
"""Wrong tokens in a minute, from whomever, after which none is looked at until the minute is over."""

_EXPIRE = 15.0
"""Seconds between looks for idle sessions."""


class Desk:
    """Everything behind the page.

    Parameters
    ----------
    settings : PageSettings
    context : Context, optional
        With the live streams to show; none when not given.

    Raises
    ------
    AcutanceError
        There is no such model, or no folder can be made.
    """

    def __init__(self, settings: PageSettings, context: Context | None = None) -> None:
        self.settings, self.context = settings, context
        settings.enhance.enhancer().close()  # refuses settings that make no sense before anybody asks
        self.models = [ModelAnswer.of(meta) for meta in map(_meta, models.names()) if not meta.sequential]
        if settings.enhance.model.endswith(".onnx"):
            self.models.append(ModelAnswer.of(models.load(settings.enhance.model).meta))
        self._folder = PrivateFolder(settings.folder)
        self.sessions = Sessions(
            self._folder,
            settings.sessions,
            60 * settings.idle_minutes,
            settings.upload_files,
            settings.upload_mib << 20,
        )
        self.reader = Reader(settings.cache_mib << 20, settings.max_pixels)
        self._results: Kept[Result] = Kept(settings.cache_mib << 20)
        self._turn, self._lock, self._ended = threading.Lock(), threading.Lock(), threading.Event()
        self._enhancers: collections.OrderedDict[tuple[object, ...], Enhancer] = collections.OrderedDict()
        self._wrong: collections.deque[float] = collections.deque(maxlen=WRONG_TOKENS)
        self.series: dict[str, Series] = {}
        self.skipped, self.opening = 0, bool(settings.paths)
        self._threads = [threading.Thread(target=self._expire, name="page idle", daemon=True)]
        if settings.paths:
            self._threads.append(threading.Thread(target=self._open, name="page open", daemon=True))
        for thread in self._threads:
            thread.start()

    def admit(self, token: str) -> str:
        """Return the cookie of a new session.

        Raises
        ------
        Refused
            The token is wrong, or nobody more is let in.
        """
        wanted = self.settings.token
        if wanted is not None:
            with self._lock:
                full = len(self._wrong) == WRONG_TOKENS and time.monotonic() - self._wrong[0] < 60
            if full:
                raise Refused(429, "too many wrong tokens; wait a minute")
            if not hmac.compare_digest(token.encode(), wanted.get_secret_value().encode()):
                with self._lock:
                    self._wrong.append(time.monotonic())
                raise Refused(403, "the token is wrong" if token else "a token is wanted")
        return self.sessions.new()

    def find(self, session: Session, series: str) -> Series:
        """Return a series that a session may see.

        Raises
        ------
        Refused
        """
        found = session.series.get(series) or self.series.get(series)
        if found is None:
            raise Refused(404, "there is no such series; it may have been closed")
        return found

    def run(self, session: Session, wanted: Wanted) -> Run:
        """Return a new run of a session.

        Raises
        ------
        Refused, UsageError
        """
        if wanted.model not in ("auto", "base", self.settings.enhance.model, *(m.name for m in self.models)):
            raise Refused(404, "there is no such model")
        series = self.find(session, wanted.series)
        model = wanted.model
        if model == self.models[-1].name and self.settings.enhance.model.endswith(".onnx"):
            model = self.settings.enhance.model
        with self._lock:
            enhancer = self._enhancer(model, wanted.scale, wanted.guard)
            base = self._enhancer("base", enhancer.scale, "none")
        run = Run(series, self.reader, enhancer, base, self._results, self._turn, session.folder)
        session.add(run)
        return run

    def close(self) -> None:
        """End all work and delete all uploads."""
        self._ended.set()
        self.sessions.close()
        with self._turn:
            for enhancer in self._enhancers.values():
                enhancer.close()
        self._folder.close()

    def _enhancer(self, model: str, scale: int | None, guard: str | None) -> Enhancer:
        key = (model, scale, guard)
        if key not in self._enhancers:
            own = self.settings.enhance
            said = {"model": model, "guard": guard, "scale": scale if model in ("auto", "base") else None}
            if scale is not None and model not in ("auto", "base") and models.load(model).meta.scale != scale:
                raise UsageError(f"{model} enlarges by {models.load(model).meta.scale}, not by {scale}")
            self._enhancers[key] = own.model_copy(update=said).enhancer()
            if len(self._enhancers) > MOST_ENHANCERS:
                self._enhancers.popitem(last=False)  # runs that still use it keep it alive
        self._enhancers.move_to_end(key)
        return self._enhancers[key]

    def _open(self) -> None:
        try:
            found, skipped = find(self.settings.paths, self.reader)
            self.series = {s.id: s for s in found}
            self.skipped = len(skipped)
        finally:
            self.opening = False

    def _expire(self) -> None:
        while not self._ended.wait(_EXPIRE):
            self.sessions.expire()


def _meta(name: str) -> models.Metadata:
    return models.load(name).meta
