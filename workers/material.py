"""What a fit works on: the labels of a project and the embeddings of all its cells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.cells.index import Columns, columns_of
from app.cells.matrix import Vectors, matrix_of
from app.models import Annotation, CellClass, Encoder, Project
from app.projects.queries import classes
from workers.ml.heads import few

FEWEST_LABELS = 2  # a class with fewer is left out: nothing could be held out to calibrate on
FEWEST_CLASSES = 2


@dataclass
class Material:
    """What one fit works on: n cells in the order of their ids with their matrix `rows`, m of them labelled (`y`)."""

    project_id: int
    encoder_id: int
    encoder_sha256: str
    cell_ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    vectors: Vectors
    free: npt.NDArray[np.bool_]  # which of the n cells nobody has labelled and no validation set keeps
    labelled: npt.NDArray[np.int64]  # cell ids of X
    y: npt.NDArray[np.str_]
    codes: list[str]  # of all classes of the project, labelled or not
    parents: dict[str, str]  # class code -> code of its parent
    newest_annotation_id: int

    @property
    def enough(self) -> bool:
        """Whether a head can be fitted."""
        return len(np.unique(self.y)) >= FEWEST_CLASSES

    @property
    def X(self) -> npt.NDArray[np.float32]:
        """Embeddings of the labelled cells."""
        places = np.searchsorted(self.cell_ids, self.labelled)
        return np.asarray(self.vectors[self.rows[places]], np.float32)

    @property
    def X_unlabelled(self) -> npt.NDArray[np.float32]:
        """Embeddings of some cells without label, from which a head may learn as well."""
        rows = self.rows[self.free]
        return np.asarray(self.vectors[rows[few(len(rows))]], np.float32)

    @property
    def X_all(self) -> Vectors:
        """Embeddings of all cells; a view of the file where the rows lie in sequence."""
        first = int(self.rows[0])
        in_sequence = np.array_equal(self.rows, np.arange(first, first + len(self.rows)))
        return self.vectors[first : first + len(self.rows)] if in_sequence else self.vectors[self.rows]


def collect(session: Session, project_id: int, encoder_id: int | None = None) -> Material:
    """Collect labels of a project and embeddings of an encoder, by default of the one the project uses.

    This is where every fit, its evaluation and the choice of cells to label get theirs, so nothing of a validation set
    is in it: neither its cells nor others of the same image, not even unlabelled.
    """
    project = session.get_one(Project, project_id)
    newest = session.scalar(select(func.max(Annotation.id)).where(Annotation.project_id == project_id))
    columns = columns_of(session, project_id)
    encoder_id = encoder_id or project.encoder_id
    matrix = matrix_of(session.get_one(Encoder, encoder_id))
    rows = matrix.rows(columns.image_ids)
    embedded = rows >= 0
    by_id = {item.id: item.code for item in classes(session, project)}
    codes = _codes(by_id, columns, embedded)
    labelled = np.flatnonzero(codes != "")
    return Material(
        project_id=project_id,
        encoder_id=encoder_id,
        encoder_sha256=matrix.encoder_sha256,
        cell_ids=columns.cell_ids[embedded],
        rows=rows[embedded],
        vectors=matrix.vectors,
        free=((columns.class_ids == 0) & ~columns.frozen)[embedded],
        labelled=columns.cell_ids[labelled],
        y=codes[labelled],
        codes=list(by_id.values()),
        parents=_parents(session, project_id),
        newest_annotation_id=newest or 0,
    )


def _codes(by_id: dict[int, str], columns: Columns, embedded: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    """Return the class code of each cell, "" where nobody saw one, without embedding, or with too few companions."""
    codes = np.full(len(columns), "", dtype=f"<U{max([1, *map(len, by_id.values())])}")
    usable = np.flatnonzero((columns.class_ids > 0) & embedded & ~columns.unseen & ~columns.frozen)
    ids, counts = np.unique(columns.class_ids[usable], return_counts=True)
    for class_id in ids[counts >= FEWEST_LABELS]:
        codes[usable[columns.class_ids[usable] == class_id]] = by_id[class_id]
    return codes


def _parents(session: Session, project_id: int) -> dict[str, str]:
    parent = aliased(CellClass)
    query = select(CellClass.code, parent.code).join(parent, CellClass.parent_id == parent.id)
    return {row[0]: row[1] for row in session.execute(query.where(CellClass.project_id == project_id))}
