"""The matrix cache says what the database says, whatever happened to its files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from app import jobs
from app.cells import matrix
from app.cells.matrix import Matrix, MatrixFolder, matrix_of
from app.config import get_settings
from app.db import reading, transaction
from app.models import Embedding, Encoder, Project, Slide
from tests import factories
from workers import runner
from workers.cells import CRASHED_ONCE

Embed = Callable[[], None]


@pytest.fixture
def slide(installation: Path) -> Slide:
    return factories.make_slide(factories.make_project())


@pytest.fixture
def embed(work: Callable[[], int]) -> Embed:
    """Call it to run all embedding jobs, but no fit, which would refresh the matrix."""

    def run_all() -> None:
        while runner.run_next("embed", "test"):
            pass

    return run_all


def another_process(encoder: Encoder) -> MatrixFolder:
    """The same files with nothing remembered of them."""
    return MatrixFolder(encoder, get_settings().data_dir.resolve() / "cache" / "matrix" / encoder.sha256[:16])


def check(found: Matrix) -> int:
    """Compare each vector with its row in the database; returns how many there are."""
    with reading() as session:
        rows = session.execute(select(Embedding.image_id, Embedding.vector).where(Embedding.vector.is_not(None))).all()
    places = found.rows(np.array([row.image_id for row in rows]))
    assert [found.vectors[place].tobytes() for place in places] == [row.vector for row in rows]
    assert len(found.vectors) == len(rows)
    assert found.rows(np.array([10**9])).tolist() == [-1]
    return len(rows)


def test_processes_take_over_what_others_wrote(slide: Slide, embed: Embed) -> None:
    encoder = factories.make_encoder()
    first, second = another_process(encoder), another_process(encoder)
    for count in range(1, 4):
        factories.make_cells(slide, ["NGS", "LYT"])
        embed()
        before = first.refresh()
        assert check(second.refresh()) == 2 * count
        assert check(before) == 2 * count  # what was handed out stays


def test_a_deleted_folder_is_built_again(slide: Slide, embed: Embed) -> None:
    encoder = factories.make_encoder()
    factories.make_cells(slide, ["NGS", "LYT"])
    embed()
    mine, other = another_process(encoder), another_process(encoder)
    before = mine.refresh()
    shutil.rmtree(mine._folder)
    assert check(mine.refresh()) == check(other.refresh()) == check(before) == 2


def test_a_kill_between_two_writes_is_made_good(slide: Slide, embed: Embed, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = factories.make_encoder()
    factories.make_cells(slide, ["NGS"])
    embed()
    check(matrix_of(encoder))
    factories.make_cells(slide, ["LYT"] * 3)
    embed()
    for survivors in (0, 1, 2):  # of the writes of images, vectors and state
        left = iter(range(survivors))
        write = matrix._write_at

        def killed(path: Path, place: int, data: bytes) -> None:
            if next(left, None) is None:  # noqa: B023
                raise KeyboardInterrupt
            write(path, place, data)  # noqa: B023

        def not_replaced(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(matrix, "_write_at", killed)
            patch.setattr(Path, "replace", not_replaced)
            with pytest.raises(KeyboardInterrupt):
                another_process(encoder).refresh()
    assert check(another_process(encoder).refresh()) == 4


@pytest.mark.parametrize("damage", ["", "{", '{"rows": 4}', '{"rows": 99, "newest": 4, "build": "x"}'])
def test_a_damaged_state_is_not_believed(slide: Slide, embed: Embed, damage: str) -> None:
    encoder = factories.make_encoder()
    factories.make_cells(slide, ["NGS"] * 4)
    embed()
    mine = another_process(encoder)
    mine.refresh()
    (mine._folder / "state.json").write_text(damage)
    assert check(mine.refresh()) == check(another_process(encoder).refresh()) == 4


def test_another_database_beside_the_same_folder_is_noticed(slide: Slide, embed: Embed) -> None:
    encoder = factories.make_encoder()
    factories.make_cells(slide, ["NGS"] * 4)
    embed()
    mine = another_process(encoder)
    mine.refresh()
    with transaction() as session:  # the same ids and encoder, other images: a restored or a new database
        newest = session.scalars(select(Embedding).order_by(Embedding.id.desc())).first()
        assert newest is not None
        session.execute(update(Embedding).values(vector=np.full(8, 7, "<f2").tobytes()))
    assert check(mine.refresh()) == 4
    with transaction() as session:
        session.execute(delete(Embedding).where(Embedding.id == newest.id))
    assert check(mine.refresh()) == check(another_process(encoder).refresh()) == 3


def test_an_image_that_could_be_read_after_all_is_found(slide: Slide, embed: Embed) -> None:
    encoder = factories.make_encoder()
    factories.make_cells(slide, ["NGS"] * 2)
    embed()
    with transaction() as session:  # as the first attempt leaves it
        first = session.scalars(select(Embedding).order_by(Embedding.id)).first()
        assert first is not None
        first.vector, first.error = None, CRASHED_ONCE
    assert check(matrix_of(encoder)) == 1
    with transaction() as session:
        project = session.get_one(Project, slide.project_id)
        jobs.embed_images(session, project.id, encoder.id, [first.image_id])
    embed()
    assert check(matrix_of(encoder)) == 2
