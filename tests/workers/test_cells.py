"""Embedding: neighbours of a bad image, crashes in the middle, and moving to another encoder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import jobs, leases
from app.db import now, reading, transaction
from app.models import Embedding, Encoder, Image, Project, User
from app.storage import get_storage
from tests import factories
from tests.fakes import FakeEncoder
from workers import cells, encoders, runner
from workers.ml.images import decode

Work = Callable[[], int]


def embeddings(encoder_id: int = 1) -> dict[int, tuple[bytes | None, str | None]]:
    with reading() as session:
        query = select(Embedding.image_id, Embedding.vector, Embedding.error)
        return {row[0]: (row[1], row[2]) for row in session.execute(query.where(Embedding.encoder_id == encoder_id))}


def test_an_unreadable_image_does_not_block_its_neighbours(
    installation: Path, work: Work, client: TestClient, sign_in: Callable[..., TestClient]
) -> None:
    project = factories.make_project()
    ids = factories.make_cells(factories.make_slide(project), ["NGS"] * 5)
    with reading() as session:
        images = session.execute(select(Image.id, Image.sha256).order_by(Image.id)).all()
    get_storage().path(f"images/{images[1].sha256}").write_bytes(b"\xff\xd8 not much of a JPEG")  # type: ignore[attr-defined]
    get_storage().delete(f"images/{images[3].sha256}")
    work()
    found = embeddings()
    assert [found[image.id][0] is not None for image in images] == [True, False, True, False, True]
    assert "missing" in str(found[images[3].id][1])
    sign_in(factories.make_user(member_of=project))
    answer = client.get(f"/projects/{project.id}/cells/state", params={"ids": ",".join(map(str, ids))})
    states = {cell["cell_id"]: cell["state"] for cell in answer.json()["cells"]}
    assert [states[cell] for cell in ids] == ["ready", "unreadable", "ready", "unreadable", "ready"]


class Crash(BaseException):
    """Stands for a worker that is killed: no handler of ours catches it."""


class CrashingEncoder(FakeEncoder):
    """Kills the worker when it sees one image."""

    def __init__(self, poison: np.ndarray) -> None:
        self.poison = poison

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        if np.array_equal(pixels, self.poison):
            raise Crash
        return super().prepare(pixels)


def test_an_image_that_keeps_killing_the_worker_is_left_out(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = factories.make_project()
    factories.make_cells(factories.make_slide(project), ["NGS"] * 6)
    with reading() as session:
        images = session.execute(select(Image.id, Image.sha256).order_by(Image.id)).all()
    poison = decode(get_storage().read(f"images/{images[2].sha256}")).pixels
    monkeypatch.setattr(encoders, "load", lambda _id: CrashingEncoder(poison))
    crashes = 0
    for _ in range(5):
        try:
            while runner.run_next("embed", "me"):
                pass
        except Crash:
            crashes += 1
        with transaction() as session:
            leases.release(session, "me")
    assert crashes == 3  # with others, alone, and alone once more
    found = embeddings()
    assert [found[image.id][0] is not None for image in images] == [True, True, False, True, True, True]
    assert found[images[2].id][1] == cells.CRASHED


def test_embedding_twice_changes_nothing(installation: Path, work: Work) -> None:
    project = factories.make_project()
    factories.make_cells(factories.make_slide(project), ["NGS", "LYT"])
    work()
    before = embeddings()
    with transaction() as session:
        jobs.embed_images(session, project.id, project.encoder_id, list(before))
    work()
    assert embeddings() == before


def test_a_project_moves_to_another_encoder_while_the_old_one_serves(
    client: TestClient, sign_in: Callable[[User], TestClient], work: Work
) -> None:
    project = factories.make_project()
    slide = factories.make_slide(project)
    factories.make_cells(slide, ["NGS"] * 3)
    work()
    with transaction() as session:
        session.add(Encoder(id=2, sha256="0" * 64, name="other", dim=8, card={}, created_at=now()))
    sign_in(factories.make_user("manager"))
    address = f"/projects/{project.id}"
    assert client.post(f"{address}/encoder", data={"encoder_id": 2}).status_code == 200
    assert client.post(f"{address}/encoder", data={"encoder_id": 2}).status_code == 409
    fragment = client.get(f"{address}/classifiers", headers={"HX-Request": "true"}).text
    assert fragment.strip().startswith('<section class="card" id="encoder" hx-get=')
    assert "0 of 3" in fragment  # also while nothing is queued yet
    with reading() as session:
        assert session.get_one(Project, project.id).encoder_id == 1
    work()
    assert "This project uses <b>other (00000000)</b>" in client.get(f"{address}/classifiers").text
    assert len(embeddings(1)) == len(embeddings(2)) == 3
    assert f"encoder: fake ({FakeEncoder.sha256[:8]}) → other (00000000)" in client.get(f"{address}/audit").text
