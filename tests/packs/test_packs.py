"""A project leaves one installation as a lab pack, and is a project with the same predictions at another."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from safetensors.numpy import load, save
from sqlalchemy import select

from app import db, signing
from app.config import get_settings
from app.db import reading, transaction
from app.models import Cell, Classifier, Image, Project, User
from app.packs.manifest import CELLS, MANIFEST, SIGNATURE
from app.storage import get_storage
from tests import factories
from tests.browsing import csrf_of, error_of
from tests.slides.test_zip import overlapping, patched

SignIn = Callable[[User], TestClient]
Work = Callable[[], int]
Files = dict[str, bytes]
LOOKS = ["NGS", "LYT"] * 12


@pytest.fixture
def manager(client: TestClient, sign_in: SignIn) -> TestClient:
    return sign_in(factories.make_user("manager", name="Patricia"))


@pytest.fixture
def project(manager: TestClient, work: Work) -> Project:
    """A project of 24 cells on two scanners; half of them are labelled."""
    project = factories.make_project(["NGS", "LYT"], name="Barcelona")
    ids = []
    for number in range(2):
        scanner = factories.make_scanner(project, name=f"Scanner {number}")
        slide = factories.make_slide(project, scanner=scanner, accession=f"Secret-{number}")
        ids += factories.make_cells(slide, LOOKS[:12])
    work()
    items = [
        {"cell_id": cell, "class": look}
        for cell, look in zip(ids[::2] + ids[1:8:2], ["NGS"] * 12 + ["LYT"] * 4, strict=True)
    ]
    body = {"action": "label-all", "items": items}
    manager.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()
    work()
    return project


def pack_of(manager: TestClient, project: Project, work: Work, **more: str) -> bytes:
    with reading() as session:
        newest = session.scalars(select(Classifier.id).where(Classifier.project_id == project.id)).all()[-1]
    form = {"classifier_id": str(newest), **more}
    address = f"/projects/{project.id}/packs"
    assert manager.post(address, data=form, follow_redirects=False).status_code == 303
    assert "Being made" in manager.get(address).text
    work()
    found = manager.get(address).text.rpartition('/file" download')[0].rpartition('href="')[2]
    return manager.get(f"{found}/file").raise_for_status().content


def probabilities(project_id: int) -> dict[str, list[float]]:
    """Return what the newest kept version says of each image."""
    with reading() as session:
        kept = (Classifier.project_id == project_id) & Classifier.scores.is_not(None)
        scores = session.scalars(select(Classifier.scores).where(kept).order_by(Classifier.version)).all()[0]
        table = load(get_storage().read(f"scores/{scores}"))
        images = dict(
            session.execute(select(Cell.id, Image.sha256).join(Image).where(Cell.project_id == project_id)).all()
        )
    return {
        images[cell]: proba for cell, proba in zip(table["cell_ids"].tolist(), table["proba"].tolist(), strict=True)
    }


@pytest.fixture
def second(
    installation: Path, migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Call it to be at another installation from then on: another database, storage and key."""
    engines = []

    def move() -> None:
        data = tmp_path / "second"
        data.mkdir()
        (data / "fiftycells.db").write_bytes(migrated_database.read_bytes())
        monkeypatch.setenv("FIFTYCELLS_DATA_DIR", str(data))
        get_settings.cache_clear()
        engines.append(db.connect(get_settings().resolved_database_url))

    yield move
    for engine in engines:
        engine.dispose()


def send(manager: TestClient, pack: bytes, work: Work) -> Response:
    """Send a pack in and have it looked into; returns its page."""
    data = {"csrf_token": csrf_of(manager.get("/packs"))}
    sent = manager.post("/packs", data=data, files={"files": ("pack.zip", pack)}, follow_redirects=False)
    assert sent.status_code == 303
    work()
    return manager.get(sent.headers["location"])


def address_of(page: Response) -> str:
    return str(page.url.path)


@pytest.mark.parametrize("pictures", [True, False])
def test_a_second_installation_gives_the_same_predictions(
    manager: TestClient, project: Project, work: Work, second: Callable[[], None], sign_in: SignIn, *, pictures: bool
) -> None:
    pack = pack_of(manager, project, work, **({"with_images": "1"} if pictures else {}))
    assert_names_nobody(pack)
    before, key = probabilities(project.id), signing.spoken(signing.public_key())
    second()
    factories.make_encoder()
    there = sign_in(factories.make_user("manager", name="Quentin"))
    page = send(there, pack, work)
    assert "the same probabilities here, to the last bit" in page.text
    address = f"{address_of(page)}/project"
    assert error_of(there.post(address, data={"name": "From Barcelona", "key": "0000"}), "key")
    form = {"name": "From Barcelona", "key": key.lower()}
    assert there.post(address, data=form, follow_redirects=False).status_code == 303
    work()
    page = there.get(address_of(page))
    assert "It has become the project" in page.text
    assert there.post(address, data=form).status_code == 409
    with reading() as session:
        made = session.scalars(select(Project).where(Project.name == "From Barcelona")).one()
        cells = session.scalars(select(Cell).where(Cell.project_id == made.id)).all()
    assert probabilities(made.id) == before
    assert (len(cells), sum(cell.class_id is not None for cell in cells)) == (24, 16)
    assert there.get(f"/cells/{cells[0].id}/image").status_code == (200 if pictures else 404)
    assert there.get(f"/projects/{made.id}/cells").status_code == 200


def assert_names_nobody(pack: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for name in (b"Patricia", b"Secret", b"cell-0.png", b"person"):
        assert name not in content


def opened(pack: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def closed(files: Files, *, sign: bool = False, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Make an archive again; with `sign`, of a lab that means harm and knows how to sign."""
    if sign:
        manifest = json.loads(files[MANIFEST])
        names = [name for name in files if name not in (MANIFEST, SIGNATURE)]
        manifest["files"] = {name: {"sha256": _sha256(files[name]), "size": len(files[name])} for name in names}
        files = {**files, MANIFEST: json.dumps(manifest).encode()}
        files[SIGNATURE] = signing.sign(files[MANIFEST])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def reason_of(page: Response) -> str:
    return page.text.partition("This pack is refused.")[2].partition("<")[0].strip()


def test_whatever_is_not_as_it_says_is_refused_with_a_reason(manager: TestClient, project: Project, work: Work) -> None:
    pack = pack_of(manager, project, work, with_images="1")
    files = opened(pack)
    picture = next(name for name in files if name.startswith("images/"))
    cells = load(files[CELLS])
    cells["label"] = np.full_like(cells["label"], 7)
    refused = {
        "no ZIP": b"something else",
        "overlapping": overlapping(),
        "encrypted": patched(pack, b"PK\x01\x02", 8, struct.pack("<H", 1)),
        "half": pack[: len(pack) // 2],
        "no list": closed({name: data for name, data in files.items() if name != MANIFEST}),
        "compressed": closed(files, compression=zipfile.ZIP_DEFLATED),
        "changed": closed({**files, MANIFEST: files[MANIFEST].replace(b"Barcelona", b"Barcelono")}),
        "another file": closed({**files, CELLS: files[CELLS][:-1] + b"x"}),
        "a file more": closed({**files, "images/../../evil": b"x"}),
        "signed, a strange file": closed({**files, "evil.pkl": b"x"}, sign=True),
        "signed, no picture": closed({**files, picture: b"no picture"}, sign=True),
        "signed, wrong labels": closed({**files, CELLS: save(cells)}, sign=True),
        "signed, no classifier": closed({**files, "classifier.safetensors": files[CELLS]}, sign=True),
    }
    reasons = {what: reason_of(send(manager, data, work)) for what, data in refused.items()}
    assert all(reasons.values()), reasons
    assert "changed after it was made" in reasons["changed"]
    assert "evil.pkl" in reasons["signed, a strange file"]
    assert reason_of(send(manager, pack, work)) == ""
    with reading() as session:
        assert len(session.scalars(select(Project)).all()) == 1


def test_an_unknown_encoder_is_named_and_a_pack_can_be_deleted(
    manager: TestClient, project: Project, work: Work, second: Callable[[], None], sign_in: SignIn
) -> None:
    pack = pack_of(manager, project, work)
    assert manager.post(f"/projects/{project.id}/packs", data={"classifier_id": "999"}).status_code == 422
    second()
    there = sign_in(factories.make_user("manager"))
    page = send(there, pack, work)
    assert "add-encoder" in reason_of(page)
    there.post(f"{address_of(page)}/delete").raise_for_status()
    assert there.get(address_of(page)).status_code == 404
    with transaction() as session:
        assert session.scalars(select(Project)).all() == []
