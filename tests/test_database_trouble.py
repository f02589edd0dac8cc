"""What people see when the database is full or busy, or when very many of them ask at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select

from app import db
from app.main import app
from app.models import Annotation
from tests import factories


def every_connection(pragma: str) -> None:
    event.listen(db.engine(), "connect", lambda connection, _record: connection.execute(f"PRAGMA {pragma}"))
    db.engine().dispose()


@pytest.mark.parametrize(
    ("pragma", "status", "words"),
    [("max_page_count=1", 507, "disk of the server is full"), ("busy_timeout=50", 503, "try again")],
)
def test_a_full_and_a_busy_database_are_told_apart(
    client: TestClient,
    sign_in: Callable[..., TestClient],
    installation: Path,
    pragma: str,
    status: int,
    words: str,
) -> None:
    project = factories.make_project()
    cells = factories.make_cells(factories.make_slide(project), ["NGS"] * 200, queue=False)
    sign_in(factories.make_user(member_of=project))
    items = [{"cell_id": cell, "class": "NGS"} for cell in cells]
    path, body = f"/projects/{project.id}/annotations", {"action": str(uuid4()), "items": items}
    every_connection(pragma)
    other = db.sqlite3.connect(installation / "fiftycells.db", isolation_level=None)
    if status == 503:
        other.execute("BEGIN IMMEDIATE")
    answer = client.post(path, json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Nothing of this was saved" in client.post(path, json=body, headers={"Accept": "text/html"}).text
    with db.reading() as session:
        assert session.scalar(select(func.count(Annotation.id))) == 0
    other.close()
    every_connection("max_page_count=4294967294")
    assert client.post(path, json=body).json()["saved"] == 200


def test_twenty_browsers_asking_for_tiles_at_once_are_all_served(
    client: TestClient, sign_in: Callable[..., TestClient]
) -> None:
    project = factories.make_project()
    (cell,) = factories.make_cells(factories.make_slide(project), ["NGS"])
    sign_in(factories.make_user(member_of=project))

    async def ask() -> set[int]:
        transport = httpx2.ASGITransport(app=app)
        cookies = {"fiftycells": client.cookies["fiftycells"]}
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver", cookies=cookies) as browser:
            asked = [browser.get(f"/cells/{cell}/thumbnail") for _ in range(200)]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

    assert asyncio.run(ask()) == {200}
