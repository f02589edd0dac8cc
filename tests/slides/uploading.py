"""Images, ZIP files and what a browser does with them, for the tests of uploads."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select

from app.db import reading
from app.models import Cell, Image, Refusal, Slide, Upload

Files = Sequence[tuple[str, bytes]]


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (24, 24), **options: Any) -> bytes:
    """A small picture, different for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(count: int, start: int = 0) -> list[tuple[str, bytes]]:
    """Named pictures, all different."""
    return [(f"cell-{seed}.png", picture(seed, size=(8, 8))) for seed in range(start, start + count)]


def zipped(members: Mapping[str, bytes] | Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, data)
    return buffer.getvalue()


def begin(client: TestClient, slide: Slide, files: int, kind: str = "cells") -> int:
    """Announce an upload as the page does; returns its id."""
    answer = client.post(
        f"/slides/{slide.id}/uploads", json={"kind": kind, "expected_files": files, "expected_bytes": 1}
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def send(client: TestClient, upload_id: int, files: Iterable[tuple[str, bytes]]) -> Response:
    """Send files of an upload in one request."""
    parts = [("files", (name, data)) for name, data in files]
    return client.post(f"/uploads/{upload_id}/files", files=parts, headers={"Accept": "application/json"})


def complete(client: TestClient, upload_id: int) -> Response:
    """Close an upload as the script of the page does."""
    return client.post(f"/uploads/{upload_id}/complete", headers={"Accept": "application/json"})


def upload(client: TestClient, slide: Slide, files: Files, kind: str = "cells") -> int:
    """Send files as one upload and close it; returns its id."""
    upload_id = begin(client, slide, len(files), kind)
    answer = send(client, upload_id, files)
    assert answer.status_code == 200, answer.text
    assert complete(client, upload_id).status_code == 200
    return upload_id


def state(upload_id: int) -> Upload:
    """The row of an upload."""
    with reading() as session:
        return session.get_one(Upload, upload_id)


def counts(upload_id: int) -> tuple[int, int, int]:
    """How many images of an upload were stored, duplicates and refused."""
    row = state(upload_id)
    assert row.images == row.stored + row.duplicates + row.refused
    return row.stored, row.duplicates, row.refused


def refused(upload_id: int) -> dict[str, str]:
    """Reasons of an upload by file name."""
    with reading() as session:
        query = select(Refusal).where(Refusal.upload_id == upload_id)
        return {refusal.name: refusal.reason for refusal in session.scalars(query)}


def cell_names(slide: Slide) -> list[str]:
    """Names of the cells of a slide in their order."""
    with reading() as session:
        return list(session.scalars(select(Cell.name).where(Cell.slide_id == slide.id).order_by(Cell.id)))


def image_count() -> int:
    """How many different images are stored."""
    with reading() as session:
        return len(session.scalars(select(Image.id)).all())
