"""The map of a project: laying its cells out, and placing those that come later."""

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from time import perf_counter

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cells.index import columns_of
from app.cells.matrix import Vectors, matrix_of
from app.db import now, reading
from app.events import publish
from app.language import N_
from app.maps.queries import map_of
from app.models import CellMap, Encoder, Project
from app.storage import get_storage
from workers.ml.mapping import choose, place
from workers.ml.mapping import lay_out as lay_out_together
from workers.runner import Task

LAYING_OUT = N_("Laying out cells")
PLACING = N_("Placing the other cells")


@dataclass(frozen=True)
class Embedded:
    """The n cells of a project that have an embedding, in the order of their ids: `rows` of `vectors`."""

    encoder_id: int
    cell_ids: npt.NDArray[np.int64]
    labelled: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    vectors: Vectors


def lay_out(task: Task) -> None:
    """Lay a part of the cells out together and place the others among them; the map then replaces the one before."""
    started = perf_counter()
    with reading() as session:
        cells = _embedded(session, task.project_id)
    if not len(cells.cell_ids):
        return
    chosen = choose(cells.labelled)
    task.progress(0, len(chosen), LAYING_OUT)
    fitted = cells.vectors[cells.rows[chosen]]
    places = lay_out_together(fitted, partial(task.progress, message=LAYING_OUT))
    rest = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(cells.cell_ids)), chosen))
    others = place(cells.vectors, cells.rows[rest], fitted, places, partial(task.progress, message=PLACING))
    artifact = _store(cells.cell_ids[np.concatenate([chosen, rest])], np.concatenate([places, others]))
    with task.transaction() as session:
        project = session.get_one(Project, task.project_id)
        if project.encoder_id != cells.encoder_id:
            return  # the move to another encoder has asked for another map
        query = select(CellMap).where(CellMap.project_id == project.id, CellMap.encoder_id == cells.encoder_id)
        old = session.scalars(query).all()
        for each in old:
            session.delete(each)
        made = CellMap(
            project_id=project.id,
            encoder_id=cells.encoder_id,
            artifact=artifact,
            cells=len(cells.cell_ids),
            fitted=len(chosen),
            seconds=perf_counter() - started,
            created_at=now(),
        )
        session.add(made)
        session.flush()
        publish(session, project.id, "map", {"map_id": made.id, "cells": made.cells})
    _forget({each.artifact for each in old} - {artifact})


def extend(task: Task) -> None:
    """Place the cells that came since on the map; again if it was replaced meanwhile."""
    while not _extended(task):
        pass


def _extended(task: Task) -> bool:
    with reading() as session:
        found = map_of(session, session.get_one(Project, task.project_id))
        cells = _embedded(session, task.project_id)
    if found is None:
        return True
    before = load_file(get_storage().local_path(f"maps/{found.artifact}"))
    new = np.random.default_rng(0).permutation(np.flatnonzero(~np.isin(cells.cell_ids, before["cell_ids"])))
    if not len(new):
        return True
    at = np.searchsorted(cells.cell_ids, before["cell_ids"][: found.fitted])
    fitted = cells.vectors[cells.rows[at]]
    tell = partial(task.progress, message=PLACING)
    others = place(cells.vectors, cells.rows[new], fitted, before["places"][: found.fitted], tell)
    artifact = _store(
        np.concatenate([before["cell_ids"], cells.cell_ids[new]]), np.concatenate([before["places"], others])
    )
    with task.transaction() as session:
        row = session.get(CellMap, found.id, with_for_update=True)
        if row is None or row.artifact != found.artifact:
            return False
        row.artifact, row.cells = artifact, len(before["cell_ids"]) + len(new)
        publish(session, task.project_id, "map", {"map_id": row.id, "cells": row.cells})
    _forget({found.artifact})
    return True


def _embedded(session: Session, project_id: int) -> Embedded:
    project = session.get_one(Project, project_id)
    columns = columns_of(session, project_id)
    matrix = matrix_of(session.get_one(Encoder, project.encoder_id))
    rows = matrix.rows(columns.image_ids)
    known = rows >= 0
    return Embedded(
        project.encoder_id, columns.cell_ids[known], columns.class_ids[known] > 0, rows[known], matrix.vectors
    )


def _store(cell_ids: npt.NDArray[np.int64], places: npt.NDArray[np.float32]) -> str:
    return get_storage().put("maps", BytesIO(save({"cell_ids": cell_ids, "places": places}))).sha256


def _forget(artifacts: set[str]) -> None:
    for sha256 in artifacts:
        get_storage().delete(f"maps/{sha256}")
