"""The map with very many cells: how long it takes to lay them out and to load, and how fluid it is in a real Chromium.

`python -m benchmarks.map [--cells 1000000]` starts a server, fills it with generated cells (benchmarks/generated.py),
labels 500 of them over HTTP, lays the cells out and opens the map in Chromium without a screen. The mouse then drags
and zooms while the page notes when each frame is shown. Where there is no graphics card Chromium computes every pixel
itself (SwiftShader): the last line but one names what has drawn.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from playwright.sync_api import Page, sync_playwright

from benchmarks.grid import Lab, label_some, laboratory
from benchmarks.memory import Memory
from tests.browsing import share_session

SIZE = {"width": 1280, "height": 800}
OPTIONS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
PATIENCE = 600_000  # milliseconds
ROUNDS = 3
STEPS = 60  # of the mouse in one movement
RECORD = """() => {
  window.shown = [];
  const note = (now) => { window.shown.push(now); window.noting = requestAnimationFrame(note); };
  window.noting = requestAnimationFrame(note);
}"""
STOP = "() => { cancelAnimationFrame(window.noting); return window.shown; }"
DRAWER = """() => {
  const gl = document.createElement("canvas").getContext("webgl2");
  return gl.getParameter(gl.getExtension("WEBGL_debug_renderer_info").UNMASKED_RENDERER_WEBGL);
}"""
COMPLETE = '#map[data-drawn="all"]'


@contextmanager
def tab(lab: Lab) -> Iterator[Page]:
    """Open a tab of Chromium that is signed in."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        page = chromium.new_context(base_url=lab.running.url, viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE)
        share_session(page, lab.browser)
        yield page
        chromium.close()


def seconds_until(page: Page, what: str) -> float:
    """Wait for something on the page."""
    started = time.perf_counter()
    page.wait_for_selector(what)
    return time.perf_counter() - started


def lay_out(lab: Lab, page: Page) -> float:
    """Press the button and wait for the map; returns the seconds."""
    page.goto(f"{lab.path}/map")
    page.get_by_role("button", name="Lay out the map").click()
    return seconds_until(page, "#map")


def load(lab: Lab, page: Page) -> float:
    """Open the map; returns the seconds until all points are seen."""
    page.goto("about:blank")
    started = time.perf_counter()
    page.goto(f"{lab.path}/map")
    page.wait_for_selector(COMPLETE)
    return time.perf_counter() - started


def frames(page: Page, move: Any) -> npt.NDArray[np.float64]:
    """Return the frames per second, one by one, that are shown while the map is moved."""
    page.evaluate(RECORD)
    for _ in range(ROUNDS):
        move(page)
    shown = np.array(page.evaluate(STOP))
    return np.asarray(1000 / np.diff(shown))


def drag(page: Page) -> None:
    """Move the map to the left and back."""
    page.mouse.move(900, 450)
    page.mouse.down()
    for x, y in ((500, 350), (900, 450)):
        page.mouse.move(x, y, steps=STEPS)
    page.mouse.up()


def zoom(page: Page) -> None:
    """Come closer, and go away again."""
    page.mouse.move(780, 440)
    for pixels in (-25, 25):
        for _ in range(STEPS):
            page.mouse.wheel(0, pixels)


def lasso(page: Page) -> float:
    """Catch the cells in sight; returns the seconds until it is said how many."""
    page.keyboard.press("Shift+W")
    return seconds_until(page, "#catch-bar:not([hidden])")


def measure(lab: Lab) -> dict[str, float]:
    """Lay out, load and move the map of one project; prints what is found."""
    memory = Memory(lab.running)
    label_some(lab)
    with tab(lab) as page:
        found = {"layout_s": lay_out(lab, page), "load_s": load(lab, page)}
        for name, move in (("drag", drag), ("zoom", zoom)):
            fps = frames(page, move)
            found |= {f"{name}_fps_median": float(np.median(fps)), f"{name}_fps_p5": float(np.percentile(fps, 5))}
            found[f"{name}_rest_s"] = seconds_until(page, COMPLETE)
        found["catch_s"] = lasso(page)
        for name, value in found.items():
            print(f"  {name:20}{value:10.2f}", flush=True)
        memory.show()
        print(f"  drawn by {page.evaluate(DRAWER)}")
    return {name: round(value, 2) for name, value in found.items()}


def main(cells: Annotated[int, typer.Option(help="Cells of the project.")] = 1_000_000) -> None:
    """Print the figures of the map."""
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder), "sqlite", cells) as lab:
        print(f"{cells:,} cells", flush=True)
        found = measure(lab)
    print(json.dumps({"cells": cells, **found}))


if __name__ == "__main__":
    typer.run(main)
