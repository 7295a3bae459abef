"""The page with small pictures, and a browser for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
HOST = "http://127.0.0.1:8787"
MARK = {"x-acutance": "1"}


@pytest.fixture(scope="session")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Return a function that gives a piece of the example CT as a DICOM file."""
    whole = pydicom.dcmread(EXAMPLES / "ct-abdomen.dcm")
    folder = tmp_path_factory.mktemp("cut")

    def make(number: int = 1, side: int = 24, **elements: Any) -> bytes:
        made = pydicom.dcmread(EXAMPLES / "ct-abdomen.dcm")
        piece = whole.pixel_array[200 : 200 + side, 180 + number : 180 + number + side]
        made.PixelData = np.ascontiguousarray(piece).tobytes()
        made.Rows = made.Columns = side
        made.InstanceNumber = number
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        made.ImagePositionPatient = [0.0, 0.0, 2.0 * number]
        for keyword, value in elements.items():
            setattr(made, keyword, value)
        path = folder / f"{number}.dcm"
        made.save_as(path)
        return path.read_bytes()

    return make


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a Desk and a client that is logged in; what it made ends with the test."""
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    from fastapi.testclient import TestClient

    from acutance.serve.page.app import create
    from acutance.serve.page.desk import Desk
    from acutance.serve.page.settings import PageSettings

    with contextlib.ExitStack() as ending:

        def make(context: Any = None, login: bool = True, **settings: Any) -> tuple[Any, Any]:
            said = {"name": "page", "folder": tmp_path, "enhance": {"threads": 1}, **settings}
            desk = Desk(PageSettings.model_validate(said), context)
            ending.callback(desk.close)
            client = TestClient(create(desk), base_url=HOST, headers=MARK, raise_server_exceptions=False)
            if login:
                assert client.post("/api/login", json={"token": said.get("token", "")}).status_code == 204
            return desk, client

        yield make


def upload(client: Any, *files: bytes, name: str = "x.dcm") -> dict[str, Any]:
    """Send files and have them sorted."""
    for data in files:
        answer = client.post("/api/files", content=data, headers={"x-file-name": name})
        assert answer.status_code == 201, answer.text
    answer = client.post("/api/series")
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found
