"""A ZIP of single cells, from the first byte sent to the last cell stored: python -m benchmarks.ingest [--cells N].

Compared, in one run, to a bare loop over the same files in one thread: read, hash, decode, write. The loop makes no
thumbnail, writes no row and flushes nothing. Embedding is not running meanwhile; it has a benchmark of its own.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
import numpy as np
import typer
from PIL import Image

from benchmarks.data import default_cells, show
from tests.live import Installation, installation

POLL = 0.05  # seconds between two questions whether all is stored


def floor(files: list[Path], target: Path) -> float:
    """Read, hash, decode and write the files one after the other; returns images per second."""
    target.mkdir()
    start = time.perf_counter()
    for path in files:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            np.asarray(image.convert("RGB"))
        (target / hashlib.sha256(data).hexdigest()).write_bytes(data)
    return len(files) / (time.perf_counter() - start)


@contextmanager
def unpacking(running: Installation) -> Iterator[None]:
    """Run the worker that unpacks, as the server would start it, and none of the others."""
    command = [sys.executable, "-m", "workers.embedded", "slides"]
    with subprocess.Popen(command, env=running.environment, stdin=subprocess.PIPE) as worker:
        try:
            yield
        finally:
            worker.terminate()


def new_slide(client: httpx2.Client, name: str) -> str:
    """Create a project with one slide; returns the slide's path."""
    classes = [{"code": "NGS", "name": "Segmented neutrophil"}]
    project = client.post("projects", json={"name": name, "classes": classes}).raise_for_status().json()["id"]
    scanner = client.post(f"projects/{project}/scanners", json={"name": name}).raise_for_status().json()["id"]
    body = {"accession": name, "scanner_id": scanner}
    slide = client.post(f"projects/{project}/slides", json=body).raise_for_status().json()["id"]
    return f"slides/{slide}"


def ingest(client: httpx2.Client, slide: str, archive: bytes, count: int) -> float:
    """Send the ZIP and wait until every cell is stored; returns images per second."""
    start = time.perf_counter()
    files = {"files": ("cells.zip", archive, "application/zip")}
    answer = client.post(f"{slide}/images", files=files).raise_for_status().json()
    job = f"jobs/{answer['job_id']}"
    while (state := client.get(job).raise_for_status().json()["state"]) != "done":
        if state == "dead":
            raise RuntimeError("unpacking was given up")
        time.sleep(POLL)
    return count / (time.perf_counter() - start)


def zipped(files: list[Path]) -> bytes:
    """Return the files in one ZIP, compressed as a person's program does it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    return buffer.getvalue()


def received_and_stored(data: Path, files: list[Path], archive: bytes) -> float:
    """Send the ZIP to an installation of its own; returns images per second."""
    with (
        installation(data, more={"FIFTYCELLS_EMBEDDED_WORKER": "false"}) as running,
        closing(running.browser()) as browser,
        browser.rest() as client,
        unpacking(running),
    ):
        ingest(client, new_slide(client, "warm up"), zipped(files[:1]), 1)
        return ingest(client, new_slide(client, "bench"), archive, len(files))


def main(cells: Annotated[int, typer.Option(help="How many images.")] = 3000) -> None:
    """Print how fast images are received and stored, and the ratio to the floor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        source, images = default_cells(folder)
        for number, (data, _) in enumerate(list(images.values())[:cells]):
            (folder / "files" / f"{number}.jpg").write_bytes(data)
        files = sorted((folder / "files").iterdir())
        archive = zipped(files)
        before = floor(files, folder / "before")
        speed = received_and_stored(folder / "data", files, archive)
        bare = (before + floor(files, folder / "after")) / 2
    title = f"Ingest of a ZIP of {len(files):,} cells ({source}), {len(archive) / 1e6:,.0f} MB"
    show(title, {"images_per_s": speed, "floor_images_per_s": bare, "ratio_floor": speed / bare})


if __name__ == "__main__":
    typer.run(main)
