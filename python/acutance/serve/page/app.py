"""The page's addresses."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import fastapi
import numpy as np
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ... import display
from ...errors import AcutanceError, InputError, UsageError
from ...geometry import Frame
from . import live
from .answers import (
    Identifier,
    Login,
    Opened,
    Picture,
    ResultAnswer,
    RunAnswer,
    SeriesAnswer,
    SkippedAnswer,
    State,
    Uploaded,
    Wanted,
)
from .desk import Desk
from .doors import App, Doors
from .refused import Refused
from .runs import ENDS, Map, Run
from .sessions import Session

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATES = {InputError: 422, UsageError: 400}
"""Status for an error of this package; others: 500."""

router = fastapi.APIRouter()


def create(desk: Desk, cookie: str = "acutance") -> App:
    """Return the ASGI application of the page.

    Parameters
    ----------
    desk : Desk
    cookie : str
        Name of the cookie: browsers tell those of two pages on one machine apart by nothing else.
    """
    app = FastAPI(title="acutance", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk, app.state.cookie = desk, cookie
    app.include_router(router)
    app.include_router(live.router)
    for kind in (Refused, AcutanceError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _failed)
    return Doors(app, desk.settings.hosts, desk.settings.local)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer with one line; nothing of what was sent is in it, nor in the log."""
    if isinstance(error, Refused):
        status, said = error.status, error.message
    elif isinstance(error, AcutanceError):
        status, said = STATES.get(type(error), 500), error.message
    elif isinstance(error, HTTPException):
        status, said = error.status_code, str(error.detail)
    elif isinstance(error, RequestValidationError):
        wrong = {".".join(str(x) for x in one["loc"]): one["msg"] for one in error.errors()}
        status, said = 400, "; ".join(f"{where}: {what}" for where, what in wrong.items())
    else:
        status, said = 500, f"something failed inside ({type(error).__name__})"
        context = request.app.state.desk.context
        if context is not None:
            places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-4:]]
            context.log.error("a request failed", extra={"error": type(error).__name__, "at": " < ".join(places[::-1])})
    return JSONResponse({"error": said}, status)


def desk_of(request: Request) -> Desk:
    """Return what is behind the page."""
    desk: Desk = request.app.state.desk
    return desk


def session_of(request: Request) -> Session:
    """Return the session of a request.

    Raises
    ------
    Refused
        It has none.
    """
    found = desk_of(request).sessions.get(request.cookies.get(request.app.state.cookie))
    if found is None:
        raise Refused(401, "no session: log in first")
    return found


OurDesk = Annotated[Desk, Depends(desk_of)]
Mine = Annotated[Session, Depends(session_of)]


def run_of(run: Identifier, session: Mine) -> Run:
    """Return a run of a session."""
    found = session.runs.get(run)
    if found is None:
        raise Refused(404, "there is no such run; it may have been closed")
    return found


OurRun = Annotated[Run, Depends(run_of)]


@router.get("/", response_class=FileResponse)
def index() -> Response:
    """The page itself; it holds nothing of anybody."""
    return FileResponse(STATIC / "index.html", media_type="text/html")


@router.get("/static/{name}", response_class=FileResponse)
def static(name: str) -> Response:
    """Scripts and styles."""
    kind = TYPES.get(Path(name).suffix)
    path = STATIC / name
    if kind is None or path.parent != STATIC or not path.is_file():
        raise Refused(404, "there is no such file")
    return FileResponse(path, media_type=kind)


@router.post("/api/login", status_code=204)
def login(asked: Login, request: Request, desk: OurDesk) -> Response:
    """Begin a session."""
    cookie = desk.admit(asked.token)
    desk.sessions.end(request.cookies.get(request.app.state.cookie))
    answer = Response(status_code=204)
    secure = request.url.scheme == "https"
    answer.set_cookie(request.app.state.cookie, cookie, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/api/end", status_code=204)
def end(request: Request, desk: OurDesk) -> Response:
    """End the session and delete what was uploaded."""
    desk.sessions.end(request.cookies.get(request.app.state.cookie))
    answer = Response(status_code=204)
    answer.delete_cookie(request.app.state.cookie)
    return answer


@router.get("/api/state")
def state(desk: OurDesk, session: Mine) -> State:
    """Return what the page shows first."""
    own, named = desk.settings.enhance, desk.settings.show_names
    series = [SeriesAnswer.of(s, False, named) for s in desk.series.values()]
    series += [SeriesAnswer.of(s, True, named) for s in session.series.values()]
    first = next((m.name for m in desk.models if own.model.endswith(".onnx") and m is desk.models[-1]), own.model)
    return State(
        version=importlib.metadata.version("acutance"),
        models=desk.models,
        model=first,
        scale=own.scale,
        guard=own.guard,
        series=series,
        skipped=desk.skipped,
        opening=desk.opening,
        room=session.room,
        files=desk.settings.upload_files,
        live=desk.context is not None,
    )


@router.post("/api/files", status_code=201)
async def upload(request: Request, session: Mine) -> Uploaded:
    """Take one file, whose percent-encoded name stands in the header ``x-file-name``."""
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said) > session.room:
        raise Refused(413, f"{int(said) >> 20} MiB; there is room for {session.room >> 20} MiB; close a series first")
    path, size = session.begin(unquote(request.headers.get("x-file-name", ""))[-255:]), 0
    try:
        with path.open("xb") as file:
            async for chunk in _chunks(request):
                session.grow(path, len(chunk))
                file.write(chunk)
                size += len(chunk)
    except OSError as e:
        session.drop(path)
        raise Refused(507, f"the file cannot be kept: {e.strerror}") from None
    except BaseException:
        session.drop(path)
        raise
    session.finish(path)
    return Uploaded(size=size, room=session.room)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Refused(400, "the file was cut short") from None


@router.post("/api/series", status_code=201)
def open_series(desk: OurDesk, session: Mine) -> Opened:
    """Sort what was uploaded since the last time into series."""
    found, skipped = session.open(desk.reader)
    named = desk.settings.show_names
    return Opened(
        series=[SeriesAnswer.of(s, True, named) for s in found],
        skipped=[SkippedAnswer(name=name, reason=reason) for name, reason in skipped],
    )


@router.delete("/api/series/{series}", status_code=204)
def close_series(series: Identifier, desk: OurDesk, session: Mine) -> Response:
    """Delete an uploaded series."""
    if series not in session.series:
        raise Refused(404, "there is no such series among those that were uploaded")
    session.remove(session.series[series], desk.reader)
    return Response(status_code=204)


@router.get("/api/series/{series}/slices/{number}")
def picture(series: Identifier, number: int, desk: OurDesk, session: Mine) -> Picture:
    """Return what there is to know of a slice."""
    return Picture.of(_slice(desk, session, series, number))


@router.get("/api/series/{series}/slices/{number}/pixels")
def pixels(series: Identifier, number: int, desk: OurDesk, session: Mine) -> Response:
    """Return the stored values of a slice."""
    return _raw(_slice(desk, session, series, number).pixels)


@router.post("/api/runs", status_code=201)
def begin_run(wanted: Wanted, desk: OurDesk, session: Mine) -> RunAnswer:
    """Say how a series is to be enhanced."""
    return RunAnswer.of(desk.run(session, wanted))


@router.get("/api/runs/{run}")
def progress(run: OurRun) -> RunAnswer:
    """Return how far a run is."""
    return RunAnswer.of(run)


@router.post("/api/runs/{run}/start", status_code=202)
def start(run: OurRun) -> RunAnswer:
    """Begin to enhance the whole series."""
    run.start()
    return RunAnswer.of(run)


@router.post("/api/runs/{run}/stop", status_code=202)
def stop(run: OurRun) -> RunAnswer:
    """Stop that, after the slice that is under way."""
    run.stop()
    return RunAnswer.of(run)


@router.get("/api/runs/{run}/slices/{number}")
def result(run: OurRun, number: int) -> ResultAnswer:
    """Enhance a slice and return what there is to know of it."""
    _check(run, number)
    error = float(np.abs(run.map(number, "consistency")).max())
    return ResultAnswer.of(run.result(number), error)


@router.get("/api/runs/{run}/slices/{number}/pixels")
def result_pixels(run: OurRun, number: int) -> Response:
    """Return the stored values of an enhanced slice."""
    _check(run, number)
    return _raw(run.result(number).pixels)


@router.get("/api/runs/{run}/slices/{number}/maps/{kind}")
def result_map(run: OurRun, number: int, kind: Map) -> Response:
    """Return what is laid over an enhanced slice: float32 in real values."""
    _check(run, number)
    return _raw(run.map(number, kind))


@router.get("/api/runs/{run}/slices/{number}/file", response_class=FileResponse)
def result_file(run: OurRun, number: int, session: Mine) -> Response:
    """Return the enhanced file that a slice is in: DICOM for DICOM, NIfTI for NIfTI, else PNG or TIFF."""
    _check(run, number)
    path = run.file(number, session.folder / f"{run.id}-one-{number}")
    kind = "application/dicom" if run.series.kind == "dicom" else "application/octet-stream"
    name = f"acutance-{number + 1:04}{ENDS[run.series.kind]}"
    return FileResponse(path, media_type=kind, filename=name, background=BackgroundTask(path.unlink, missing_ok=True))


@router.get("/api/runs/{run}/slices/{number}/png")
def result_png(run: OurRun, number: int, centre: float, width: float, inverted: bool = False) -> Response:
    """Return an enhanced slice for the eye, in 8 bits of a window; ``inverted``: the smallest value is white."""
    _check(run, number)
    if not (np.isfinite([centre, width]).all() and width > 0):
        raise Refused(400, "wanted a window of finite centre and positive width")
    data = display.png(dataclasses.replace(run.result(number).frame, inverted=inverted), (centre, width))
    name = f"acutance-{number + 1:04}.png"
    return Response(data, media_type="image/png", headers={"content-disposition": f'attachment; filename="{name}"'})


@router.get("/api/runs/{run}/archive", response_class=FileResponse)
def archive(run: OurRun) -> Response:
    """Return all files of a run that is done, as ZIP."""
    path = run.archive()
    if path is None:
        raise Refused(409, "the series is not enhanced to its end; start that first")
    return FileResponse(path, media_type="application/zip", filename="acutance.zip")


def _slice(desk: Desk, session: Session, series: str, number: int) -> Frame:
    found = desk.find(session, series)
    if not 0 <= number < len(found.slices):
        raise Refused(404, f"there is no slice {number}; the series has {len(found.slices)}")
    return desk.reader.frame(found, number)


def _check(run: Run, number: int) -> None:
    if not 0 <= number < len(run.series.slices):
        raise Refused(404, f"there is no slice {number}; the series has {len(run.series.slices)}")


def _raw(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Response:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return Response(little.tobytes(), media_type="application/octet-stream")
