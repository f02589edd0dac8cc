"""The whole loop on a running installation, with both carriers of jobs, and what survives when parts of it die."""

import io
import os
import re
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.factories import cell_image
from tests.live import Browser, Installation, until
from tests.services import Redis, postgresql

CODES = ("NGS", "LYT")
SECONDS = 90  # a fresh worker has to load torch first


def archive(count: int, first: int = 0) -> bytes:
    """A ZIP of small PNG images, alternately of two looks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(first, first + count):
            file.writestr(f"{CODES[number % 2]}-{number}.png", cell_image(CODES[number % 2], number))
    return buffer.getvalue()


class Lab:
    """A project with one slide on a running installation."""

    def __init__(self, running: Installation) -> None:
        self.running = running
        self.browser: Browser = running.browser()
        self.rest: httpx2.Client = self.browser.rest()
        classes = [{"code": code, "name": code} for code in CODES]
        self.project = self._post("projects", {"name": "Lab", "classes": classes})["id"]
        scanner = self._post(f"projects/{self.project}/scanners", {"name": "S"})["id"]
        self.slide = self._post(f"projects/{self.project}/slides", {"accession": "A", "scanner_id": scanner})["id"]

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.rest.close()
        self.browser.close()
        self.running.stop()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.rest.post(path, json=body).raise_for_status().json()
        return answer

    def upload(self, data: bytes) -> str:
        """Send a ZIP; returns where its job is."""
        files = {"files": ("cells.zip", data, "application/zip")}
        answer = self.rest.post(f"slides/{self.slide}/images", files=files)
        return answer.raise_for_status().headers["Location"].removeprefix("/api/v1/")

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.rest.get(f"slides/{self.slide}").raise_for_status().json()["counts"]
        return counts

    def ready(self, cells: int) -> bool:
        counts = self.counts()
        return counts["cells"] == counts["embedded"] == cells

    def label(self, cells: list[dict[str, Any]]) -> None:
        """Label cells by the look in their name."""
        items = [{"cell_id": cell["id"], "class": cell["name"][:3]} for cell in cells]
        body = {"action": str(uuid4()), "items": items}
        self.browser.post(f"/projects/{self.project}/annotations", json=body).raise_for_status()

    def cells(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.rest.get(f"slides/{self.slide}/cells", params={"limit": 1000}).json()[
            "items"
        ]
        return items

    def versions(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.rest.get(f"projects/{self.project}/classifiers").json()["items"]
        return items


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default: SQLite and the embedded worker."""
    running = Installation(tmp_path_factory.mktemp("embedded") / "data").start()
    with Lab(running) as lab:
        yield lab


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[Lab]:
    """PostgreSQL, Redis, a Celery worker and the sweeper."""
    with postgresql() as url:
        folder = tmp_path_factory.mktemp("celery") / "data"
        running = Installation(folder, database_url=url, broker_url=redis.url)
        running.more["FIFTYCELLS_LEASE_SECONDS"] = "3"
        running.start()
        running.start_celery()
        with Lab(running) as lab:
            yield lab


def loop(lab: Lab) -> None:
    """Upload, embed, label, see predictions, and the same again is recognised."""
    location = lab.upload(archive(60))
    until(lambda: lab.rest.get(location).json()["state"] == "done", SECONDS, "the upload is not unpacked")
    until(lambda: lab.ready(60), SECONDS, f"not embedded: {lab.counts()}")
    lab.upload(archive(60))
    cells = lab.cells()
    lab.label([cell for cell in cells if int(cell["name"][4:-4]) < 20])
    until(lab.versions, SECONDS, "no classifier")
    found = until(
        lambda: lab.rest.get(f"projects/{lab.project}/predictions", params={"limit": 1000}).json()["items"], 5, ""
    )
    looks = {cell["id"]: cell["name"][:3] for cell in cells}
    right = sum(item["predicted"] == looks[item["cell_id"]] for item in found)
    assert right >= 0.9 * len(found) == 0.9 * 60
    assert lab.counts()["cells"] == 60


def test_the_loop_with_the_embedded_worker(embedded: Lab) -> None:
    loop(embedded)


def test_the_loop_with_celery_redis_and_postgresql(celery: Lab) -> None:
    loop(celery)


def test_embedded_workers_give_way_to_the_server(embedded: Lab) -> None:
    (worker,) = until(lambda: embedded.running.workers("embed"), SECONDS, "there is no worker")
    until(lambda: os.getpriority(os.PRIO_PROCESS, worker) > 0, SECONDS, "the worker is not nice")
    group = Path(f"/proc/{worker}/autogroup")
    until(lambda: not group.exists() or re.search(r"nice [1-9]", group.read_text()), SECONDS, "its session is not")


def test_a_killed_embedded_worker_is_replaced_and_nothing_is_lost_or_doubled(embedded: Lab) -> None:
    before = embedded.counts()["cells"]
    embedded.upload(archive(300, first=1000))
    for queue, counted in (("slides", "cells"), ("embed", "embedded")):
        until(lambda name=counted: embedded.counts()[name] > before + 20, SECONDS, f"{queue} does not start")
        victims = embedded.running.workers(queue)
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
    until(lambda: embedded.ready(before + 300), SECONDS, f"lost: {embedded.counts()}")
    assert "starting it again" in embedded.running.log()
    assert "Taken back" in embedded.browser.get("/jobs").text or "took up" in embedded.running.log()


def test_a_server_killed_in_the_middle_of_an_upload_keeps_what_it_confirmed(embedded: Lab) -> None:
    before = embedded.counts()["cells"]
    data = archive(100, first=5000)
    first = embedded.upload(archive(50, first=4000))
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="cells.zip"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield part + data[: len(data) // 2]
        embedded.running.kill()
        yield data[len(data) // 2 :] + b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(httpx2.TransportError):
        embedded.rest.post(f"slides/{embedded.slide}/images", content=body(), headers=headers)
    assert until(lambda: not embedded.running.workers(), 10, "the workers outlive their server") is True
    embedded.running.start()
    until(lambda: embedded.rest.get(first).json()["state"] == "done", SECONDS, "the confirmed upload is lost")
    until(lambda: embedded.ready(before + 50), SECONDS, f"lost or half there: {embedded.counts()}")
    embedded.upload(data)
    until(lambda: embedded.ready(before + 150), SECONDS, f"the repeated upload did not go through: {embedded.counts()}")


def test_ctrl_c_ends_everything_and_a_second_start_keeps_all_data(embedded: Lab) -> None:
    before = embedded.counts()
    assert embedded.running.stop(signal.SIGINT) == 0
    assert embedded.running.workers() == []
    embedded.running.start()
    assert embedded.counts() == before
    assert embedded.versions()


def test_a_killed_celery_worker_is_swept_up_and_a_killed_redis_loses_nothing(celery: Lab, redis: Redis) -> None:
    before = celery.counts()["cells"]
    celery.upload(archive(300, first=2000))
    until(lambda: celery.counts()["cells"] > before, SECONDS, "unpacking does not start")
    celery.running.kill_celery()
    redis.kill()
    answer = celery.upload(archive(50, first=8000))  # accepted while the broker is down
    assert celery.rest.get(answer).json()["state"] == "queued"
    redis.start()
    celery.running.start_celery()
    until(lambda: celery.ready(before + 350), SECONDS, f"lost: {celery.counts()}")
    time.sleep(1)
    assert celery.counts()["cells"] == before + 350
