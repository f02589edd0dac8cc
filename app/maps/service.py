"""What a browser draws the map from: places of cells, and what colours them, as arrays in safetensors files."""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save
from sqlalchemy.orm import Session

from app.annotations import sight
from app.cells.index import Columns, Ids, columns_of
from app.errors import Conflict, Invalid, NotFound
from app.kept import Kept
from app.language import _, ngettext
from app.models import Batch, CellMap, Project, User
from app.predictions import batches
from app.predictions.scores import newest_scores
from app.projects import queries
from app.storage import get_storage

KEPT = 2  # maps in memory; one of a million cells takes 24 MB
MOST_CAUGHT = 500_000
FULL = 255  # a confidence of 100 %


@dataclass(frozen=True)
class Placed:
    """Cells of a map in its order: `cell_ids` (n,), their `places` (n, 2) on the plane, their `rows` in the columns."""

    cell_ids: Ids
    places: npt.NDArray[np.float32]
    rows: Ids


_kept: Kept[tuple[str, int], Placed] = Kept(KEPT)


def placed(found: CellMap, columns: Columns) -> Placed:
    """Return the cells of a map. Raises Conflict where another file has replaced this one since."""

    def load() -> Placed:
        try:
            arrays = load_file(get_storage().local_path(f"maps/{found.artifact}"))
        except FileNotFoundError:
            raise Conflict(_("The map has just changed. Please load the page again.")) from None
        # Cells are only ever added, so rows stay what they are.
        return Placed(arrays["cell_ids"], arrays["places"], columns.places(arrays["cell_ids"]))

    return _kept.get((found.artifact, found.project_id), load)


def find_map(session: Session, project: Project, map_id: int) -> CellMap:
    """Return a map of a project; raises NotFound."""
    found = session.get(CellMap, map_id)
    if found is None or found.project_id != project.id:
        raise NotFound(_("This project has no map %(map_id)s.", map_id=map_id))
    return found


def points(session: Session, found: CellMap, start: int) -> bytes:
    """Return the cells of a map from the place `start` on: `cell_ids` int32 (m,), `places` float32 (m, 2), and
    `scanners` uint16 (m,), places in the list of scanner ids of the metadata."""
    columns = columns_of(session, found.project_id)
    cells = placed(found, columns)
    ids, scanners = np.unique(columns.scanner_ids[cells.rows[start:]], return_inverse=True)
    arrays = {
        "cell_ids": cells.cell_ids[start:].astype("<i4"),
        "places": np.ascontiguousarray(cells.places[start:]),
        "scanners": scanners.astype("<u2"),
    }
    return save(arrays, {"scanners": json.dumps(ids.tolist())})


def values(session: Session, project: Project, user: User, found: CellMap) -> bytes:
    """Return what a person may know of the cells of a map: `classes` and `predicted` uint16 (n,), places in the list of
    class ids of the metadata, 0 for none; `confidence` uint8 (n,), FULL for certainty; `removed` uint8 (n,), 1 for
    cells that are not there any more.

    What this person must not see yet is left out (app/annotations/sight.py).
    """
    columns = columns_of(session, project.id)
    rows = placed(found, columns).rows
    known = list(queries.classes(session, project))
    classifier, table = newest_scores(session, project.id, columns)
    class_ids = [0, *(each.id for each in known)]
    # A class may be newer than what this transaction sees.
    size = 1 + max(*class_ids, int(columns.class_ids.max(initial=0)), 0)
    labels = _positions(class_ids, size)[columns.class_ids]
    predicted, confidence = np.zeros(len(columns), "<u2"), np.zeros(len(columns), np.uint8)
    if classifier and table:
        codes = ["", *(each.code for each in known)]
        position = [codes.index(code) if code in codes else 0 for code in classifier.classes]
        predicted = np.array([*position, 0], "<u2")[table.predicted]  # NO_CLASS is -1, the last
        confidence = np.rint(FULL * table.confidence.astype(np.float32)).astype(np.uint8)
    unread = sight.awaiting(session, project, columns, user.id)
    hidden = unread | sight.withheld(project, columns)
    labels[unread] = predicted[hidden] = confidence[hidden] = 0
    arrays = {
        "classes": labels[rows],
        "predicted": predicted[rows],
        "confidence": confidence[rows],
        "removed": columns.removed[rows].astype(np.uint8),
    }
    return save(arrays, {"classes": json.dumps(class_ids)})  # with a second entry equal bytes would not be equal


def _positions(class_ids: list[int], size: int) -> npt.NDArray[np.uint16]:
    """Return a table (size,) from class id to place in `class_ids`, 0 for any other."""
    table = np.zeros(size, "<u2")
    table[class_ids] = np.arange(len(class_ids))
    return table


def catch(session: Session, project: Project, user: User, cell_ids: list[int]) -> Batch:
    """Put cells that somebody caught on the map into a batch, in this order.

    Raises NotFound if one of them is not of this project, Invalid if there are none or too many.
    """
    if not 0 < len(cell_ids) <= MOST_CAUGHT:
        raise Invalid(ngettext("Catch at least one cell and at most %(num)s.",
                               "Catch at least one cell and at most %(num)s.", MOST_CAUGHT))  # fmt: skip
    wanted = np.array(list(dict.fromkeys(cell_ids)), np.int64)
    unknown = wanted[columns_of(session, project.id).places(wanted) < 0]
    if len(unknown):
        raise NotFound(_("cell_id: this project has no cell %(cells)s.", cells=", ".join(map(str, unknown[:10]))))
    count = len(wanted)
    note = ngettext("%(num)s cell caught on the map.", "%(num)s cells caught on the map, the middle first.", count)
    return batches.serve(session, project, user, Batch(kind="map", cell_ids=wanted, note=note, reasons={}))
