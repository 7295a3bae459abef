"""Every address of the page: what it gives, and what it says when it does not."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

import acutance

from .conftest import EXAMPLES, upload

Page = Callable[..., tuple[Any, Any]]
NOBODY = "0" * 16


def begin(client: Any, series: str, **wanted: Any) -> str:
    answer = client.post("/api/runs", json={"series": series, **wanted})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def finish(client: Any, run: str) -> dict[str, Any]:
    assert client.post(f"/api/runs/{run}/start").status_code == 202
    until = time.monotonic() + 20
    while (now := client.get(f"/api/runs/{run}").json())["state"] == "working" and time.monotonic() < until:
        time.sleep(0.01)
    return dict(now)


def test_the_page_and_its_parts_are_there_and_nothing_else_is(page: Page) -> None:
    _, client = page(login=False)
    index = client.get("/")
    assert index.status_code == 200 and index.headers["content-type"].startswith("text/html")
    import re

    names = re.findall(r'/static/([a-z.]+)"', index.text)
    assert {"main.js", "style.css", "icon.svg"} <= set(names)
    assert all(client.get(f"/static/{name}").status_code == 200 for name in names)
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", index.text)
    for name in ("app.py", "..%2Fapp.py", "%2e%2e/app.py", "none.js", "%00.js"):
        assert client.get(f"/static/{name}").status_code == 404
    assert client.get("/openapi.json").status_code == 404 and client.get("/docs").status_code == 404


def test_no_script_asks_another_server() -> None:
    static = Path(acutance.__file__).parent / "serve" / "page" / "static"
    scripts = [p for p in static.iterdir() if p.suffix in (".js", ".css", ".html")]
    assert len(scripts) > 8
    for path in scripts:
        text = path.read_text()
        assert "https://" not in text and "eval(" not in text and "import(" not in text, path.name


def test_without_a_session_nothing_is_told(page: Page) -> None:
    _, client = page(login=False)
    gets = ["/api/state", f"/api/series/{NOBODY}/slices/0", f"/api/series/{NOBODY}/slices/0/pixels"]
    gets += [f"/api/runs/{NOBODY}{x}" for x in ("", "/slices/0", "/slices/0/pixels", "/slices/0/maps/residual")]
    gets += [f"/api/runs/{NOBODY}{x}" for x in ("/slices/0/file", "/slices/0/png?centre=0&width=1", "/archive")]
    assert {p: client.get(p).status_code for p in gets} == dict.fromkeys(gets, 401)
    posts = {f"/api/runs/{NOBODY}/start": None, f"/api/runs/{NOBODY}/stop": None, "/api/series": None}
    posts |= {"/api/runs": {"series": NOBODY}}
    assert [client.post(p, json=body).status_code for p, body in posts.items()] == [401] * len(posts)
    assert client.post("/api/files", content=b"x").status_code == 401
    assert client.delete(f"/api/series/{NOBODY}").status_code == 401


def test_what_is_not_there_is_named(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    series = upload(client, cut())["series"][0]["id"]
    run = begin(client, series)
    missing = [f"/api/series/{NOBODY}/slices/0", f"/api/series/{series}/slices/1", f"/api/series/{series}/slices/-1"]
    missing += [f"/api/series/{series}/slices/1/pixels", f"/api/runs/{NOBODY}", f"/api/runs/{NOBODY}/slices/0"]
    missing += [f"/api/runs/{run}/slices/1{x}" for x in ("", "/pixels", "/maps/residual", "/file")]
    missing += [f"/api/runs/{run}/slices/-1/png?centre=0&width=1"]
    for path in missing:
        answer = client.get(path)
        assert answer.status_code == 404 and "there is no" in answer.json()["error"], path
    assert client.delete(f"/api/series/{NOBODY}").status_code == 404
    assert client.post(f"/api/runs/{NOBODY}/start").status_code == 404
    assert client.post("/api/runs", json={"series": NOBODY}).status_code == 404


def test_what_makes_no_sense_is_refused_without_quoting_it(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    series = upload(client, cut())["series"][0]["id"]
    run = begin(client, series)
    wrong: list[dict[str, Any]] = [{"scale": 5}, {"guard": "round"}, {"model": 3}, {"colour": "DOE^JOHN"}]
    for one in wrong:
        answer = client.post("/api/runs", json={"series": series, **one})
        assert answer.status_code == 400 and "DOE" not in answer.text
    for model in ("../../etc/passwd", "/etc/hosts.onnx", "gray-seq-x2"):
        assert client.post("/api/runs", json={"series": series, "model": model}).status_code == 404
    denoising = client.post("/api/runs", json={"series": series, "model": "ct-rt-x2-dn", "guard": "box"})
    assert denoising.status_code == 400 and "noise" in denoising.json()["error"]
    wrong_scale = client.post("/api/runs", json={"series": series, "model": "ct-rt-x2", "scale": 3})
    assert wrong_scale.status_code == 400 and "by 2, not by 3" in wrong_scale.json()["error"]
    for query in ("centre=0&width=0", "centre=nan&width=1", "centre=0&width=-3", "centre=0&width=inf"):
        assert client.get(f"/api/runs/{run}/slices/0/png?{query}").status_code == 400
    assert client.get(f"/api/runs/{run}/slices/0/png?centre=a&width=1").status_code == 400
    assert client.get(f"/api/runs/{run}/slices/0/maps/colour").status_code == 400
    assert client.get("/api/series/nonsense/slices/0").status_code == 400
    uncertain = client.get(f"/api/runs/{run}/slices/0/maps/uncertainty")
    assert uncertain.status_code == 422 and "no quantiles" in uncertain.json()["error"]
    early = client.get(f"/api/runs/{run}/archive")
    assert early.status_code == 409 and "start that first" in early.json()["error"]


def test_pixels_come_as_the_file_has_them(page: Page) -> None:
    _, client = page(paths=[EXAMPLES / "ct-abdomen.dcm"])
    series = opened(client)[0]
    about = client.get(f"/api/series/{series['id']}/slices/0").json()
    assert (about["rows"], about["cols"], about["dtype"], about["unit"]) == (512, 512, "uint16", "HU")
    assert about["plane"]["letters"] == ["A", "L", "P", "R"] and about["window"] == [50.0, 400.0]
    raw = client.get(f"/api/series/{series['id']}/slices/0/pixels").content
    header = pydicom.dcmread(EXAMPLES / "ct-abdomen.dcm")
    assert np.array_equal(np.frombuffer(raw, "<u2").reshape(512, 512), header.pixel_array)
    real = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    assert about["limits"] == [real.min(), real.max()]
    assert client.delete(f"/api/series/{series['id']}").status_code == 404  # it is not the browser's own


def opened(client: Any) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while (state := client.get("/api/state").json())["opening"] and time.monotonic() < until:
        time.sleep(0.01)
    return list(state["series"])


def test_a_result_says_how_it_was_made_and_its_maps_fit(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    series = upload(client, cut())["series"][0]["id"]
    run = begin(client, series)
    about = client.get(f"/api/runs/{run}/slices/0").json()
    assert (about["model"], about["guard"], about["scale"], about["base"]) == ("ct-rt-x2", "box", 2, False)
    assert about["error"] == 0 and about["milliseconds"] > 0 and about["fell_back"] is None
    found = np.frombuffer(client.get(f"/api/runs/{run}/slices/0/pixels").content, "<u2").reshape(48, 48)
    given = np.frombuffer(client.get(f"/api/series/{series}/slices/0/pixels").content, "<u2").reshape(24, 24)
    assert np.array_equal(found.reshape(24, 2, 24, 2).sum(axis=(1, 3), dtype=np.int64), 4 * given.astype(np.int64))
    consistency = np.frombuffer(client.get(f"/api/runs/{run}/slices/0/maps/consistency").content, "<f4")
    assert consistency.shape == (24 * 24,) and not consistency.any()
    residual = np.frombuffer(client.get(f"/api/runs/{run}/slices/0/maps/residual").content, "<f4").reshape(48, 48)
    (frame,) = acutance.read(EXAMPLES / "ct-abdomen.dcm")
    base = acutance.Enhancer("base", guard="none").run(given, modality="CT").pixels
    assert np.array_equal(residual, found.astype(np.float32) - base) and frame.slope == 1
    free = client.get(f"/api/runs/{begin(client, series, guard='none')}/slices/0").json()
    assert free["guard"] == "none" and free["error"] > 0
    plain = client.get(f"/api/runs/{begin(client, series, model='base', scale=3)}/slices/0").json()
    assert plain["base"] and plain["fell_back"] is None and plain["picture"]["rows"] == 72


def test_a_model_by_name_is_taken_with_its_own_scale(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    series = upload(client, cut())["series"][0]["id"]
    about = client.get(f"/api/runs/{begin(client, series, model='ct-rt-x3', scale=3)}/slices/0").json()
    assert (about["model"], about["scale"], about["picture"]["cols"]) == ("ct-rt-x3", 3, 72)


def test_the_saved_file_is_the_derived_object(page: Page, cut: Callable[..., bytes], tmp_path: Path) -> None:
    _, client = page()
    series = upload(client, cut())["series"][0]["id"]
    run = begin(client, series)
    answer = client.get(f"/api/runs/{run}/slices/0/file")
    assert answer.headers["content-disposition"] == 'attachment; filename="acutance-0001.dcm"'
    made = pydicom.dcmread(io.BytesIO(answer.content))
    assert made.Rows == 48 and "DERIVED" in made.ImageType and made.SourceImageSequence
    shown = np.frombuffer(client.get(f"/api/runs/{run}/slices/0/pixels").content, "<u2").reshape(48, 48)
    assert np.array_equal(made.pixel_array, shown)
    assert not list(tmp_path.rglob("*-one-*"))


def test_the_saved_png_is_what_the_window_shows(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    run = begin(client, upload(client, cut())["series"][0]["id"])
    answer = client.get(f"/api/runs/{run}/slices/0/png?centre=50&width=400")
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    real = np.frombuffer(client.get(f"/api/runs/{run}/slices/0/pixels").content, "<u2").reshape(48, 48) - 1024.0
    assert np.array_equal(shown, np.rint(255 * np.clip((real - 49.5) / 399 + 0.5, 0, 1)))
    other = client.get(f"/api/runs/{run}/slices/0/png?centre=50&width=400&inverted=true")
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(other.content))), np.rint(255 * (1 - np.clip((real - 49.5) / 399 + 0.5, 0, 1)))
    )


def test_a_whole_series_is_packed(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    (series,) = upload(client, *(cut(n) for n in (3, 1, 2)))["series"]
    assert series["slices"] == 3 and series["name"] is None
    run = begin(client, series["id"])
    now = finish(client, run)
    assert now["state"] == "done" and now["done"] == 3 and now["archive"], now
    packed = zipfile.ZipFile(io.BytesIO(client.get(f"/api/runs/{run}/archive").content))
    places = [pydicom.dcmread(packed.open(name)).ImagePositionPatient[2] for name in packed.namelist()]
    assert packed.namelist() == ["0001.dcm", "0002.dcm", "0003.dcm"] and places == [2.0, 4.0, 6.0]


def test_work_on_a_series_can_be_stopped(page: Page, cut: Callable[..., bytes]) -> None:
    desk, client = page()
    (series,) = upload(client, *(cut(n) for n in range(1, 6)))["series"]
    run = begin(client, series["id"])
    with desk._turn:  # nothing is enhanced meanwhile
        assert client.post(f"/api/runs/{run}/start").json()["state"] == "working"
        assert client.post(f"/api/runs/{run}/stop").status_code == 202
    until = time.monotonic() + 10
    while (now := client.get(f"/api/runs/{run}").json())["state"] == "working" and time.monotonic() < until:
        time.sleep(0.01)
    assert now["state"] == "stopped" and now["done"] < 5 and not now["archive"]
    assert client.get(f"/api/runs/{run}/archive").status_code == 409
    assert finish(client, run)["state"] == "done"  # and begun again


def test_text_in_the_pixels_is_not_carried_on(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    run = begin(client, upload(client, cut(BurnedInAnnotation="YES"))["series"][0]["id"])
    answer = client.get(f"/api/runs/{run}/slices/0/file")
    assert answer.status_code == 422 and "burned" in answer.json()["error"].lower()
    assert finish(client, run)["state"] == "failed"


def test_names_are_hidden_unless_they_are_wanted(page: Page, cut: Callable[..., bytes]) -> None:
    data = cut(PatientName="DOE^JOHN", PatientID="ID4711", SeriesDescription="DOE follow-up")
    _, client = page()
    said = client.post("/api/files", content=data, headers={"x-file-name": "DOE.dcm"}).text
    said += client.post("/api/series").text + client.get("/api/state").text
    series = client.get("/api/state").json()["series"][0]["id"]
    said += client.get(f"/api/series/{series}/slices/0").text
    assert "DOE" not in said and "4711" not in said
    _, client = page(show_names=True)
    assert upload(client, data)["series"][0]["name"] == "DOE^JOHN"


def test_what_is_no_picture_is_named_and_deleted(page: Page, cut: Callable[..., bytes], tmp_path: Path) -> None:
    _, client = page()
    client.post("/api/files", content=b"hello", headers={"x-file-name": "notes.txt"})
    found = upload(client, cut())
    assert [s["name"] for s in found["skipped"]] == ["notes.txt"] and "no DICOM" in found["skipped"][0]["reason"]
    assert len(found["series"]) == 1
    assert len([p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]) == 1


def test_a_damaged_file_is_one_line(page: Page, cut: Callable[..., bytes]) -> None:
    _, client = page()
    series = upload(client, cut()[:-200])["series"]
    assert len(series) == 1
    answer = client.get(f"/api/series/{series[0]['id']}/slices/0")
    assert answer.status_code == 422 and "\n" not in answer.json()["error"] and "/" not in answer.json()["error"]


def test_uploads_are_bounded(page: Page, cut: Callable[..., bytes], tmp_path: Path) -> None:
    _, client = page(upload_mib=1, upload_files=2)
    answer = client.post("/api/files", content=bytes(2 << 20))
    assert answer.status_code == 413 and "room" in answer.json()["error"]

    def many() -> Any:
        yield from (bytes(1 << 16) for _ in range(40))

    answer = client.post("/api/files", content=many())  # which does not say how much will come
    assert answer.status_code == 413
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]
    assert client.get("/api/state").json()["room"] == 1 << 20
    upload(client, cut(1), cut(2))
    answer = client.post("/api/files", content=b"x")
    assert answer.status_code == 413 and "more than 2 files" in answer.json()["error"]
    series = client.get("/api/state").json()["series"][0]["id"]
    assert client.delete(f"/api/series/{series}").status_code == 204
    assert client.get("/api/state").json()["room"] == 1 << 20
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]
    upload(client, cut(1))


def test_a_full_disk_is_named(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = page()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    answer = client.post("/api/files", content=b"x")
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]


def test_other_kinds_of_files(page: Page, tmp_path: Path) -> None:
    import nibabel

    volume = (np.arange(3 * 20 * 16) % 251).reshape(20, 16, 3).astype(np.int16)
    nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(tmp_path / "v.nii.gz")  # type: ignore[no-untyped-call]
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8) + np.uint8(90)).save(tmp_path / "rgb.png")
    _, client = page(paths=[tmp_path / "v.nii.gz", tmp_path / "a.png", tmp_path / "rgb.png"])
    series = opened(client)
    assert [(s["kind"], s["slices"]) for s in series] == [("nifti", 3), ("png", 1), ("png", 1)]
    run = begin(client, series[0]["id"], model="base")
    saved = client.get(f"/api/runs/{run}/slices/1/file")
    assert saved.status_code == 200 and saved.headers["content-disposition"].endswith('.nii.gz"')
    colour = client.get(f"/api/series/{series[2]['id']}/slices/0").json()
    assert colour["channels"] == 3
    run = begin(client, series[2]["id"], model="base")
    assert client.get(f"/api/runs/{run}/slices/0").json()["picture"]["channels"] == 3
    assert len(client.get(f"/api/runs/{run}/slices/0/maps/residual").content) == 4 * 40 * 60
    assert client.get(f"/api/runs/{run}/slices/0/file").content[:4] == b"\x89PNG"
    seen = client.get(f"/api/runs/{run}/slices/0/png?centre=128&width=256").content
    assert (np.asarray(Image.open(io.BytesIO(seen))) == 90).all()


def test_a_failure_inside_is_told_without_what_it_says(
    page: Page, cut: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, client = page()
    series = upload(client, cut())["series"][0]["id"]

    def broken(*_: Any) -> Any:
        raise RuntimeError("DOE^JOHN")

    monkeypatch.setattr(desk.reader, "frame", broken)
    answer = client.get(f"/api/series/{series}/slices/0")
    assert answer.status_code == 500 and answer.json() == {"error": "something failed inside (RuntimeError)"}


def test_the_end_of_a_session_deletes_its_files(page: Page, cut: Callable[..., bytes], tmp_path: Path) -> None:
    desk, client = page()
    upload(client, cut())
    assert client.post("/api/end").status_code == 204
    assert client.get("/api/state").status_code == 401 and len(desk.sessions) == 0
    assert not list(tmp_path.rglob("*.dcm"))
