"""The page in Chromium: what a user sees, does with mouse and keys, and takes away."""

from __future__ import annotations

import base64
import io
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from acutance import Enhancer
from acutance.geometry import Frame
from acutance.live.metrics import Metrics
from acutance.live.stream import Stream, StreamSettings
from acutance.serve.page.settings import PageSettings
from acutance.serve.service import Context, Streams

from .conftest import EXAMPLES

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 60_000
"""Milliseconds at most; a busy machine takes its time."""

CT = EXAMPLES / "ct-abdomen.dcm"

DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  document.dispatchEvent(new DragEvent("dragenter", { dataTransfer: transfer, bubbles: true }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""

PIXEL = """([x, y]) => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const at = [(x - box.left) * canvas.width / box.width, (y - box.top) * canvas.height / box.height];
  return [...canvas.getContext("2d").getImageData(Math.floor(at[0]), Math.floor(at[1]), 1, 1).data];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    with sync.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    from acutance.serve.page.service import PageService

    service = PageService(PageSettings(name="page", port=0, folder=tmp_path_factory.mktemp("uploads")), None)
    service.start()
    yield service.url
    service.stop(5.0)


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A page in a browser that has never been here; what it asks elsewhere, and errors, fail the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 860}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(WAIT)
    elsewhere: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda r: elsewhere.append(r.url) if not r.url.startswith((address, "blob:")) else None)
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.goto(address)
    tab.wait_for_selector("#model option[value=auto]", state="attached")
    yield tab
    context.close()
    assert elsewhere == [] and errors == []


def drop(tab: Any, path: Path) -> None:
    """Drop a file on the page and wait for its enhanced picture."""
    tab.evaluate(DROP, [path.name, base64.b64encode(path.read_bytes()).decode()])
    tab.wait_for_selector("body[data-shown]")


def stage(tab: Any) -> tuple[float, float, float, float]:
    box = tab.locator("#canvas").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def where(tab: Any, row: float, col: float, side: int = 512) -> tuple[float, float]:
    """Return the place on the screen of a pixel coordinate of the fitted, square picture."""
    left, top, width, height = stage(tab)
    zoom = min(width, height) / side
    return left + width / 2 + (col + 0.5 - side / 2) * zoom, top + height / 2 + (row + 0.5 - side / 2) * zoom


def frame(tab: Any) -> None:
    """Wait until what was asked for is painted."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def gray(real: float, centre: float, width: float) -> int:
    """DICOM's linear window (PS3.3 C.11.2.1.2.1), on 255 grays, halves upward."""
    return math.floor(255 * min(1.0, max(0.0, (real - (centre - 0.5)) / (width - 1) + 0.5)) + 0.5)


def number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def test_a_dropped_ct_is_compared_windowed_read_and_saved(tab: Any) -> None:
    truth = pydicom.dcmread(CT).pixel_array.astype(int) - 1024
    drop(tab, CT)
    assert "ct-rt-x2" in tab.inner_text("#facts") and "exact" in tab.inner_text("#facts")

    # The pixel under the cursor is the file's, in the value, in the place, and on the screen.
    for row, col in ((200, 150), (301, 222), (180, 400)):
        x, y = where(tab, row, col)
        tab.mouse.move(x, y)
        said = re.fullmatch(r"Input  (\d+), (\d+):  (\S+) HU", tab.inner_text("#at-input"))
        assert said is not None and (int(said[1]), int(said[2])) == (col, row)
        assert number(said[3]) == truth[row, col]
        other = re.fullmatch(r"Enhanced  (\d+), (\d+):  (\S+) HU", tab.inner_text("#at-result"))
        assert other is not None and (int(other[1]) // 2, int(other[2]) // 2) == (col, row)
        assert f"L {col * 0.728516:.1f}  P {row * 0.728516:.1f}" in tab.inner_text("#at-place")
        if col < 250:  # left of the divider: the input
            assert tab.evaluate(PIXEL, [x, y])[0] == gray(truth[row, col], 50, 400)

    # What is saved is what is shown right of the divider.
    with tab.expect_download() as waited:
        tab.click("#save-file")
    made = pydicom.dcmread(waited.value.path())
    enhanced = made.pixel_array.astype(int) - 1024
    assert enhanced.shape == (1024, 1024) and "DERIVED" in made.ImageType
    row, col = 360, 801
    x, y = where(tab, row, col, 1024)
    assert tab.evaluate(PIXEL, [x, y])[0] == gray(enhanced[row, col], 50, 400)

    # Smoothed, it is mixed of the four pixels whose centres lie around it.
    tab.keyboard.press("s")
    frame(tab)
    left, top, width, height = stage(tab)
    zoom = height / 1024
    place = [
        512 + (math.floor(p - start) + 0.5 - size / 2) / zoom - 0.5
        for p, start, size in ((y, top, height), (x, left, width))
    ]
    (i, down), (j, right) = ((math.floor(p), p % 1) for p in place)
    around = enhanced[i : i + 2, j : j + 2] @ [1 - right, right] @ [1 - down, down]
    assert abs(tab.evaluate(PIXEL, [x, y])[0] - gray(around, 50, 400)) <= 1
    tab.keyboard.press("s")

    # The difference is blue below and orange above, full at 50 HU.
    tab.keyboard.press("4")
    for r, c in ((row, col), (612, 433), (500, 700)):
        frame(tab)
        off = enhanced[r, c] - truth[r // 2, c // 2]
        colour = np.multiply([80, 160, 255] if off < 0 else [255, 160, 50], min(1.0, abs(off) / 50))
        assert np.abs(np.subtract(tab.evaluate(PIXEL, where(tab, r, c, 1024))[:3], colour)).max() <= 1
    tab.keyboard.press("1")

    # The divider is dragged over it: now it is the input.
    left, _, width, _ = stage(tab)
    handle = tab.locator("#divider b").bounding_box()
    tab.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(left + 0.9 * width, handle["y"] + 20, steps=4)
    tab.mouse.up()
    frame(tab)
    assert tab.get_attribute("#divider", "aria-valuenow") == "90"
    assert tab.evaluate(PIXEL, [x, y])[0] == gray(truth[row // 2, col // 2], 50, 400)

    # The window is dragged: wider to the right, and the gray follows.
    x, y = where(tab, 256, 200)
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 100, y - 30, steps=3)
    tab.mouse.up()
    frame(tab)
    centre, wide = 50 - 30 * 400 / 300, 400 * math.exp(0.5)
    assert tab.inner_text("#at-window").split() == ["W", f"{wide:.0f}", "L", f"{centre:.1f}"]
    assert tab.evaluate(PIXEL, [x, y])[0] == gray(truth[256, 200], centre, wide)
    with tab.expect_download() as waited:
        tab.click("#save-png")
    png = np.asarray(Image.open(io.BytesIO(Path(waited.value.path()).read_bytes())))
    assert abs(int(png[400, 500]) - gray(enhanced[400, 500], centre, wide)) <= 1


def test_everything_is_done_by_keys(tab: Any) -> None:
    tab.set_input_files("#pick-files", [str(CT)])
    tab.wait_for_selector("body[data-shown]")
    tab.locator("#canvas").focus()
    for key, mode in {"2": "side", "3": "flicker", "4": "difference", "1": "divider"}.items():
        tab.keyboard.press(key)
        assert tab.get_attribute(f"[data-mode={mode}]", "aria-pressed") == "true"
    tab.keyboard.press("ArrowRight")
    frame(tab)
    assert tab.get_attribute("#divider", "aria-valuenow") == "52"
    tab.locator("#divider").focus()
    tab.keyboard.press("Home")
    frame(tab)
    assert tab.get_attribute("#divider", "aria-valuenow") == "0"
    tab.locator("#canvas").focus()
    x, y = where(tab, 180, 400)
    before = tab.evaluate(PIXEL, [x, y])[0]
    tab.keyboard.press("i")
    frame(tab)
    assert tab.evaluate(PIXEL, [x, y])[0] == 255 - before
    tab.keyboard.press("i")
    for key in ("k", "d", "+"):
        tab.keyboard.press(key)
    frame(tab)
    assert tab.inner_text("#at-window").split()[1] == "440" and tab.input_value("#preset") == "own"
    tab.keyboard.press("w")
    tab.keyboard.press("0")
    frame(tab)
    assert tab.inner_text("#at-window").split() == ["W", "400", "L", "50.0"]
    tab.keyboard.press("s")
    assert tab.get_attribute("#smooth", "aria-pressed") == "true"
    tab.keyboard.press("r")
    tab.wait_for_selector("body[data-shown$=residual]")
    frame(tab)
    assert tab.inner_text("#legend-name") == "residual" and "HU" in tab.inner_text("#legend-high")
    tab.keyboard.press("q")
    assert "how sure" in tab.inner_text("#message") and tab.input_value("#overlay") == "residual"
    tab.keyboard.press("?")
    assert tab.locator("#keys[open]").count() == 1 and tab.locator("#key-list kbd").count() > 25
    tab.keyboard.press("Escape")
    assert tab.locator("#keys[open]").count() == 0


def test_tab_reaches_every_control_in_the_order_of_reading(tab: Any, cut: Any, tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(cut())
    tab.set_input_files("#pick-files", [str(tmp_path / "1.dcm")])
    tab.wait_for_selector("body[data-shown]")
    wanted = tab.evaluate(
        """() => [...document.querySelectorAll("button, select, input, canvas[tabindex], [role=slider]")]
        .filter((e) => e.checkVisibility() && !e.disabled && !e.closest("dialog"))
        .map((e) => e.id || e.textContent)"""
    )
    tab.evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in wanted:
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
    assert reached == wanted and {"canvas", "divider", "model", "save-file", "help"} <= set(reached)


def test_a_series_is_scrolled_and_uploads_are_closed(tab: Any, cut: Any, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        (tmp_path / f"{n}.dcm").write_bytes(cut(n))
    (tmp_path / ".hidden").write_text("left alone")
    (tmp_path / "notes.txt").write_text("no picture")
    tab.set_input_files("#pick-folder", str(tmp_path))
    tab.wait_for_selector("body[data-shown]")
    assert tab.inner_text("#scroll-text") == "1 / 3"
    assert re.match(r"Left out: notes.txt \(is no DICOM.*\)$", tab.inner_text("#message"))
    left, top, width, height = stage(tab)
    tab.mouse.move(left + width / 4, top + height / 2)
    tab.mouse.wheel(0, 100)
    tab.wait_for_selector("body[data-shown*='/1/']")
    assert "H 4.0" in tab.inner_text("#at-place")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_selector("body[data-shown*='/2/']")
    assert tab.inner_text("#scroll-text") == "3 / 3" and "H 6.0" in tab.inner_text("#at-place")
    with tab.expect_download() as waited:
        tab.click("#save-all")
    assert waited.value.suggested_filename == "acutance.zip"
    tab.click("#series .close")
    tab.wait_for_selector("#welcome", state="visible")
    assert tab.evaluate("async () => (await (await fetch('/api/state')).json()).series.length") == 0


def test_a_page_with_a_token_asks_for_it(browser: Any, tmp_path: Path) -> None:
    from acutance.serve.page.service import PageService

    said = {"name": "page", "port": 0, "folder": tmp_path, "token": "a-token-of-some-length", "paths": [CT]}
    service = PageService(PageSettings.model_validate(said), None)
    service.start()
    try:
        tab = browser.new_page()
        tab.set_default_timeout(WAIT)
        tab.goto(service.url)
        tab.fill("#token", "wrong")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#login-wrong:not(:empty)")
        assert tab.inner_text("#login-wrong") == "the token is wrong"
        tab.fill("#token", "a-token-of-some-length")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#series .card")
        assert tab.inner_text("#series .card b").startswith("CT")
        tab.close()
    finally:
        service.stop(5.0)


def test_a_live_stream_is_watched(browser: Any, tmp_path: Path) -> None:
    from acutance.serve.page.service import PageService

    about = Context(Metrics(), logging.LoggerAdapter(logging.getLogger("acutance.serve"), {}), Streams())
    service = PageService(PageSettings(name="page", port=0, folder=tmp_path), about)
    service.start()
    pixels = np.zeros((24, 32), np.uint8)
    pixels[6:12, 8:16] = 200
    try:
        with Enhancer("base", threads=1) as enhancer:
            stream = Stream("tower", enhancer, StreamSettings(deadline_ms=60_000), lambda made: None, about.metrics)
            about.streams.add(stream)
            tab = browser.new_page()
            tab.set_default_timeout(WAIT)
            tab.goto(service.url)
            tab.wait_for_selector("#streams .card")
            tab.click("#streams .card")
            stream.put(Frame(pixels, modality="ES"))
            tab.wait_for_selector("#pane-a .tag:text-is('Live, base')")
            frame(tab)
            left, top, width, height = stage(tab)
            zoom = min(width / 64, height / 48)
            spots = {(18, 24): 200, (40, 50): 0}  # row and column of the enlarged picture
            for (row, col), value in spots.items():
                at = [left + width / 2 + (col - 32) * zoom, top + height / 2 + (row - 24) * zoom]
                tab.mouse.move(*at)
                assert tab.inner_text("#at-result") == f"Enhanced  {col}, {row}:  {value}"
            tab.wait_for_selector("#streams dd:text-is('60000 ms')")
            card = "[...document.querySelectorAll('#streams dl > *')].map((e) => e.textContent)"
            said = tab.evaluate(f"() => {card}")
            told = dict(zip(said[::2], said[1::2], strict=True))
            assert told["in"] in ("0", "1") and told["deadline"] == "60000 ms" and told["late"] == "0"
            tab.wait_for_selector("#streams canvas[aria-label='ages of the last 1 pictures']")
            drawn = "[...document.querySelector('#streams canvas').getContext('2d').getImageData(0, 0, 420, 88).data]"
            assert tab.evaluate(f"() => {drawn}.some((v) => v > 0)")
            tab.close()
            stream.close()
    finally:
        service.stop(5.0)
