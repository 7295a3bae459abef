"""``acutance view``."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import pydantic
import typer

from ...errors import InputError, UsageError

app = typer.Typer(add_completion=False)

TOKEN = "ACUTANCE_TOKEN"
"""Environment variable with the token."""


@app.command()
def view(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER|FILE]...", help="What to look at; more can be dropped on the page."),
    ] = None,
    address: Annotated[
        str, typer.Option(help="IP address to bind. One that other machines reach asks browsers for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8787,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN, help="What browsers must say; made up and printed where one is needed and not given."
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name, beside IP addresses, that browsers call this machine by."),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file for HTTPS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with the key of the certificate.")] = None,
    model: Annotated[str, typer.Option(metavar="auto|NAME|FILE|base", help="What the page proposes first.")] = "auto",
    backend: Annotated[str, typer.Option(help="What runs the model: auto, onnxruntime or tensorrt.")] = "auto",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    show_names: Annotated[
        bool, typer.Option("--show-names", help="Show names of files and patients, which are hidden otherwise.")
    ] = False,
) -> None:
    """Look at pictures beside their enhanced ones, on a page of this machine.

    DICOM files and folders, NIfTI, PNG and TIFF. Nothing leaves the machine; what is dropped on the page is deleted at
    the end.
    """
    from ..enhance import EnhanceSettings
    from .service import PageService
    from .settings import PageSettings

    missing = next((p for p in paths or () if not p.exists()), None)
    if missing is not None:
        raise InputError("does not exist", missing)
    said = {"address": address, "port": port, "hosts": host or (), "certificate": certificate, "key": key}
    said |= {"paths": [p.absolute() for p in paths or ()], "show_names": show_names, "token": token}
    try:
        if token is None and not PageSettings(**{**said, "name": "view", "token": "-" * 16}).local:  # type: ignore[arg-type]
            said["token"] = secrets.token_urlsafe(24)
        settings = PageSettings(name="view", enhance=EnhanceSettings(model=model, backend=backend), **said)  # type: ignore[arg-type]
    except pydantic.ValidationError as e:
        wrong = e.errors()[0]
        where = "".join(f"--{x}: " for x in wrong["loc"][:1])
        raise UsageError(f"{where}{wrong['msg'].removeprefix('Value error, ')}") from None
    with _told() as told:
        service = PageService(settings, None)
        service.start()
        try:
            typer.echo(f"acutance: the page is at {service.url} (Ctrl-C ends it)")
            if token is None and said["token"] is not None:
                typer.echo(f"acutance: its token is {said['token']}")
            if browser and _has_screen():
                webbrowser.open(service.url)
            told.wait()
        finally:
            service.stop(5.0)


@contextlib.contextmanager
def _told() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {n: signal.signal(n, tell) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_screen() -> bool:
    """Tell whether a browser can be seen from here."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
