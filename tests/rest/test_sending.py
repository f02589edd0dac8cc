"""Sending over a line that drops: files recognised before they are sent, large ones in pieces, and the client."""

import asyncio
import base64
import fcntl
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from app.config import get_settings
from app.db import reading
from app.errors import Conflict
from app.models import Project, Slide, Upload
from app.slides import resumable
from tests import factories
from tests.live import CLIENT, client_module, installation
from tests.rest.conftest import Api, zip_of

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
Work = Callable[[], int]


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project()


@pytest.fixture
def slide(project: Project) -> Slide:
    return factories.make_slide(project)


def announce(client: TestClient, slide: Slide, length: int, **metadata: str) -> Any:
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()]
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": ",".join(pairs)}
    return client.post(f"/slides/{slide.id}/uploads", headers=headers)


def path_of(answer: Any) -> str:
    return str(answer.headers["location"]).removeprefix("/api/v1")


def test_a_file_in_pieces_goes_on_where_it_stopped(api: Api, slide: Slide, work: Work) -> None:
    client, data = api(), zip_of(["NGS", "LYT"] * 3)
    begun = announce(client, slide, len(data), filename="cells.zip")
    assert (begun.status_code, begun.headers["tus-resumable"]) == (201, "1.0.0")
    where = path_of(begun)
    first = client.patch(where, content=data[:100], headers={**BYTES, "Upload-Offset": "0"})
    assert (first.status_code, first.headers["upload-offset"]) == (204, "100")
    assert client.post(f"/slides/{slide.id}/complete").status_code == 409
    again = client.patch(where, content=data[:100], headers={**BYTES, "Upload-Offset": "0"})
    assert (again.status_code, "byte 100" in again.json()["detail"]) == (409, True)
    asked = client.head(where, headers=TUS)
    assert (asked.headers["upload-offset"], asked.headers["upload-length"]) == ("100", str(len(data)))
    longer = client.patch(where, content=data[100:] + b"x", headers={**BYTES, "Upload-Offset": "100"})
    assert longer.status_code == 422
    last = client.patch(where, content=data[100:], headers={**BYTES, "Upload-Offset": "100"})
    assert last.status_code == 204
    work()
    job = client.get(path_of(last)).json()
    assert (job["state"], job["upload"]["stored"]) == ("done", 6)
    assert client.head(where, headers=TUS).headers["upload-offset"] == str(len(data))
    assert list((get_settings().data_dir / "resumable").iterdir()) == []
    client.post(f"/slides/{slide.id}/complete")
    work()
    assert client.get(f"/slides/{slide.id}").json()["state"] == "needs_review"


def test_a_whole_file_is_received_even_if_the_server_died_before_it_could(api: Api, slide: Slide, work: Work) -> None:
    client, folder = api(), get_settings().data_dir / "resumable"
    folder.mkdir(exist_ok=True)
    for number in (1, 2):
        data = factories.cell_image("NGS", number)
        where = path_of(announce(client, slide, len(data), filename=f"{number}.png"))
        left = folder / where.rpartition("/")[2]
        left.write_bytes(data)
        if number == 1:
            with left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                for method in ("HEAD", "PATCH"):
                    headers = {**BYTES, "Upload-Offset": str(len(data))}
                    assert client.request(method, where, headers=headers).status_code == 423
            assert client.head(where, headers=TUS).headers["upload-offset"] == str(len(data))
        else:
            resumable.take_up()  # its sender does not come back
        assert not left.exists()
        work()
        assert len(client.get(f"/slides/{slide.id}/cells").json()["items"]) == number


async def drops() -> AsyncIterator[bytes]:
    yield b"abc"
    raise ClientDisconnect


async def falls_silent() -> AsyncIterator[bytes]:
    yield b"abc"
    await asyncio.sleep(60)


@pytest.mark.parametrize("line", [drops, falls_silent])
def test_what_arrived_before_a_line_ended_is_kept(
    api: Api, slide: Slide, line: Callable[[], AsyncIterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "SILENT", 0.1)
    client = api()
    where = path_of(announce(client, slide, 10, filename="a.png"))
    with reading() as session:
        upload = session.get_one(Upload, int(where.rpartition("/")[2]))
    with pytest.raises(Conflict, match="is kept"):
        asyncio.run(resumable.append(upload, 0, line()))
    assert client.head(where, headers=TUS).headers["upload-offset"] == "3"
    assert client.patch(where, content=b"defg", headers={**BYTES, "Upload-Offset": "3"}).status_code == 204


def test_a_file_is_refused_or_given_up_in_words(api: Api, slide: Slide, work: Work) -> None:
    client = api()
    assert "filename" in announce(client, slide, 10).json()["detail"]
    assert "kind" in announce(client, slide, 10, filename="a.png", kind="smear").json()["detail"]
    for kind in ("cells", "field", "off_centre"):
        assert announce(client, slide, 10, filename="a.png", kind=kind).status_code == 201
    assert announce(client, slide, 10**12, filename="a.svs").status_code == 413
    other = client.post(f"/slides/{slide.id}/uploads", headers={"Upload-Length": "3", "Tus-Resumable": "0.2.2"})
    assert (other.status_code, other.headers["tus-version"]) == (412, "1.0.0")
    where = path_of(announce(client, slide, 10, filename="a.png"))
    stranger = api(factories.make_user(member_of=factories.make_project()))
    for method in ("HEAD", "PATCH", "DELETE"):
        headers = {**BYTES, "Upload-Offset": "0"}
        assert stranger.request(method, where, headers=headers).status_code == 404
    plain = client.patch(where, content=b"abc", headers={**TUS, "Upload-Offset": "0", "Content-Type": "image/png"})
    assert "Content-Type" in plain.json()["detail"]
    assert client.delete(where, headers=TUS).status_code == 204
    assert [client.request(method, where, headers=TUS).status_code for method in ("DELETE", "HEAD")] == [404, 404]
    work()


def test_files_the_project_has_need_not_be_sent(api: Api, project: Project, slide: Slide, work: Work) -> None:
    client = api()
    known, foreign = (factories.cell_image("NGS", number) for number in (1, 2))
    others = factories.make_slide(factories.make_project())
    for where, data in ((slide, known), (others, foreign)):
        client.post(f"/slides/{where.id}/images", files={"files": ("a.png", data)})
    work()
    marks = [{"sha256": hashlib.sha256(data).hexdigest(), "name": "b.png"} for data in (known, foreign)]
    here = client.post(f"/slides/{slide.id}/known", json={"files": marks}).json()
    assert (here["has"], here["missing"], here["job_id"]) == ([marks[0]["sha256"]], [marks[1]["sha256"]], None)
    second = factories.make_slide(project)
    added = client.post(f"/slides/{second.id}/known", json={"files": marks}, headers={"Idempotency-Key": "k"})
    assert (added.status_code, added.json()["added"]) == (202, [marks[0]["sha256"]])
    assert client.post(
        f"/slides/{second.id}/known", json={"files": marks}, headers={"Idempotency-Key": "k"}
    ).json() == (added.json())
    work()
    assert [each["name"] for each in client.get(f"/slides/{second.id}/cells").json()["items"]] == ["b.png"]
    nonsense = client.post(f"/slides/{slide.id}/known", json={"files": [{"sha256": "abc", "name": "b.png"}]})
    assert nonsense.status_code == 422


def test_the_client_submits_a_slide_over_a_line_that_drops(tmp_path: Path) -> None:
    module = client_module()
    module.LARGE, module.PIECE = 3000, 1000
    fate = random.Random(0)

    class Dropping(module.Client):  # type: ignore[misc, name-defined]
        """Loses a third of its requests, before they are sent or before their answer is read."""

        def exchange(self, *request: Any) -> tuple[int, Mapping[str, str], bytes]:
            if fate.random() < 1 / 6:
                raise ConnectionResetError
            answer = super().exchange(*request)
            if fate.random() < 1 / 6:
                raise ConnectionResetError
            return answer

    (tmp_path / "cells.zip").write_bytes(zip_of(["NGS"] * 5))
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(factories.cell_image("LYT", number))
    with (
        installation(tmp_path / "data") as running,
        closing(running.browser()) as browser,
        closing(browser.rest()) as rest,
    ):
        token = rest.headers["Authorization"].removeprefix("Bearer ")
        client = Dropping(running.url, token)
        project = client.call("POST", "/projects", {"name": "Blood", "template": "differential-5"})["id"]
        scanner = client.call("POST", f"/projects/{project}/scanners", {"name": "DM96"})["id"]
        files = sorted(path for path in tmp_path.iterdir() if path.suffix in {".png", ".zip"})
        result = client.submit(project, scanner, "S-1", files)
        assert (result["state"], result["counts"]["cells"]) == ("needs_review", 8)
        again = client.submit(project, scanner, "S-1", files)
        assert (again["id"], again["counts"]["cells"]) == (result["id"], 8)
        with pytest.raises(module.FiftycellsError, match="There is no such"):
            client.call("GET", "/slides/999")
        served = browser.get("/static/client/fiftycells_client.py")
        assert served.content == CLIENT.read_bytes()
