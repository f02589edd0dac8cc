"""What cameras and scanners write into files about patients: nothing of it is kept, and nothing of it is served."""

import io
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading, transaction
from app.main import app
from app.models import Cell, CellClass, Classifier, Field, Job, Original, Project, Report, Slide, Upload, User
from app.projects import live
from tests import factories
from tests.kept import everything_kept
from tests.ml.test_clean import COMPRESSED, FILES, SECRET, exif, noise
from tests.routes import in_path, served
from tests.slides.test_fields import field_of
from tests.slides.test_whole_slides import slide_file
from tests.slides.uploading import counts, upload, zipped

TILE = {"level": [0], "column": [0], "row": [0]}
DIFFERENT = 10  # the two in the ZIP are sent by themselves too; TIFF, LZW and BMP have the same pixels
SIGNS = (SECRET.encode(), COMPRESSED, SECRET.encode("utf-16-le"), SECRET.replace(" ", "%20").encode())


def with_label() -> bytes:
    """A TIFF as slide scanners write them: the smear, then label and overview, with the name of the patient."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for name in ("Aperio Image Library|ScanScope ID =", "label", "macro"):
            pixels = np.asarray(noise(size=(64, 48)))
            file.write(pixels, description=f"{name} {SECRET}", photometric="rgb", metadata=None)
    return buffer.getvalue()


def planted() -> list[tuple[str, bytes]]:
    """Every kind of file that is accepted and some that are not, each with the secret, by harmless names."""
    archive = zipped([("one.png", FILES["png"]()), ("two.jpg", FILES["progressive"]())])
    more = [("cells.zip", archive), ("scan.svs", with_label()), ("broken.jpg", FILES["jpeg"]()[:700])]
    return [*((f"{name}.img", make()) for name, make in FILES.items()), *more]


def planted_field() -> bytes:
    buffer = io.BytesIO()
    with PIL.Image.open(io.BytesIO(field_of(["NGS", "LYT"], 1))) as image:
        image.save(buffer, "JPEG", quality=95, exif=exif(), comment=SECRET)
    return buffer.getvalue()


def ids(project: Project) -> dict[str, list[object]]:
    """What fills the addresses of pages and endpoints, by the names they use."""
    nouns = {
        "slide": Slide,
        "field": Field,
        "cell": Cell,
        "upload": Upload,
        "job": Job,
        "classifier": Classifier,
        "report": Report,
    }
    with reading() as session:
        found = {f"{name}_id": list(session.scalars(select(noun.id))) for name, noun in nouns.items()}
        found["class_id"] = list(session.scalars(select(CellClass.id).where(CellClass.project_id == project.id)))
    return {**found, "project_id": [project.id], "version": [1], "tag": ["en"], **TILE}


def answers(browser: TestClient, project: Project, under: str = "/") -> Iterator[tuple[str, bytes]]:
    """Every answer to a GET of this installation whose address the rows of a project fill."""
    known = ids(project)
    for route in (each.removeprefix("GET ") for each in served() if each.startswith(f"GET {under}")):
        names = in_path(route)
        for values in product(*(known.get(name, []) for name in names)):
            path = route.format(**dict(zip(names, values, strict=True)))
            answer = browser.get(path, follow_redirects=False)
            assert answer.status_code < 500, path
            yield path, answer.content + str(answer.headers).encode()


def telling(found: Iterator[tuple[str, bytes]]) -> set[str]:
    return {place for place, data in found if any(sign in data for sign in SIGNS)}


@pytest.fixture
def manager(client: TestClient, sign_in: Callable[[User], TestClient], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A manager's browser, which may also ask REST."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.1)
    return sign_in(factories.make_user("manager"))


def receive(browser: TestClient, slide: Slide, work: Callable[[], int]) -> None:
    """Upload cells and a field by the page, and the same cells by REST."""
    cells = upload(browser, slide, planted())
    field = upload(browser, slide, [("field.jpg", planted_field()), ("whole.svs", slide_file(side=900))], "field")
    rest = TestClient(app, headers={"Authorization": f"Bearer {factories.make_token(factories.make_user('manager'))}"})
    sent = rest.post(f"/api/v1/slides/{slide.id}/images", files=[("files", file) for file in planted()])
    work()
    assert counts(cells) == (DIFFERENT, len(FILES) + 2 - DIFFERENT, 2)
    assert counts(sent.json()["upload_id"]) == (0, len(FILES) + 2, 2)
    assert counts(field)[0] >= 6


def test_nothing_beside_the_pixels_is_kept_or_served(
    manager: TestClient, work: Callable[[], int], installation: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert all(any(sign in data for sign in SIGNS) for _, data in planted() if not data.startswith(b"PK"))
    project = factories.make_project()
    slide = factories.make_slide(project)
    receive(manager, slide, work)
    seen = list(answers(manager, project))
    assert {f"/cells/1/{kind}" for kind in ("image", "thumbnail", "original")} <= {path for path, _ in seen}
    assert telling(iter(seen)) == set()
    assert telling(everything_kept(installation)) == set()
    assert SECRET not in "".join(capfd.readouterr())


def test_files_kept_as_received_are_served_as_attachments_only(
    manager: TestClient, work: Callable[[], int], installation: Path
) -> None:
    project = factories.make_project()
    with transaction() as session:
        session.get_one(Project, project.id).keep_received = True
    receive(manager, factories.make_slide(project), work)
    with reading() as session:
        kept = {each.image_id: each for each in session.scalars(select(Original))}
        cells = {f"/cells/{cell.id}/original": cell for cell in session.scalars(select(Cell)) if cell.image_id in kept}
    assert len(kept) == DIFFERENT + 2  # and the field and the whole slide
    assert telling(answers(manager, project, "/cells")) == set(cells)
    assert {place.split("/")[1] for place in telling(everything_kept(installation))} == {"originals"}
    answer = manager.get("/cells/1/original")
    assert answer.content == planted()[0][1]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
