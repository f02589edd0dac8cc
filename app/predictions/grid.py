"""One page of the grid: filter a million cells, order them, cut out 200, without sorting them all."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.annotations import sight
from app.cells.index import Columns, columns_of
from app.cells.sampling import scattered
from app.errors import Invalid
from app.forms import LARGEST_ID, Id
from app.kept import Kept
from app.language import _
from app.models import Batch, CellClass, Classifier, Project, User
from app.predictions.batches import find_batch
from app.predictions.scores import NO_CLASS, ScoreTable, newest_scores, table_of
from app.predictions.similar import Distances, distances

PAGE = 200
MOST_CELLS = 1000  # on one page
KEPT = 8  # batches whose places are in memory: turning pages reads a million of them once
LONGEST_CURSOR = 200  # characters

Order = Literal["uncertain", "confident", "novel", "newest", "random", "batch", "similar"]
Keys = npt.NDArray[np.float64]


class GridFilters(BaseModel):
    """What a page of the grid shows and in which order; an empty text means no filter.

    `similar` is the cell that the order of that name compares with. `place`, where no cursor is given, is the place in
    a batch at which the page begins.
    """

    model_config = ConfigDict(populate_by_name=True)

    order: Order = "uncertain"
    class_: str = Field("", alias="class")
    predicted: str = ""
    labelled: Literal["", "yes", "no"] = ""
    scanner: Id | Literal[""] = ""
    slide: Id | Literal[""] = ""
    batch: Id | Literal[""] = ""
    similar: Id | Literal[""] = ""
    place: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_CELLS)] = PAGE
    cursor: str = Field("", max_length=LONGEST_CURSOR)


@dataclass(frozen=True)
class Facts:
    """What is known of all cells of a project, n rows: columns, scores, their place in a batch, their distances.

    `withheld` and `awaiting` are cells of which the person who looks must not see the prediction or the label yet.
    """

    columns: Columns
    table: ScoreTable | None
    classifier: Classifier | None
    batch: Batch | None
    places: Keys | None
    distances: Distances | None
    withheld: sight.Mask
    awaiting: sight.Mask


@dataclass(frozen=True)
class Page(Facts):
    """The cells of one page, with their rows in `columns` and `table`, and where the pages beside it begin."""

    rows: npt.NDArray[np.int64]
    total: int
    offset: int
    next_cursor: str
    previous_cursor: str


@dataclass(frozen=True)
class Cursor:
    """A place in an order: just after (or before) a key and cell id. It stays meaningful when scores change."""

    after: bool
    key: float
    cell_id: int

    def __str__(self) -> str:
        text = json.dumps([int(self.after), self.key, self.cell_id])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor; raises Invalid if it is not one of ours."""
        try:
            after, key, cell_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(bool(after), float(key), int(cell_id))
        except (binascii.Error, ValueError, TypeError, OverflowError) as error:
            raise Invalid(_("cursor: this is not a cursor of this list; leave it out to start anew.")) from error


def page(
    session: Session,
    project: Project,
    classes: dict[str, CellClass],
    filters: GridFilters,
    classifier: Classifier | None = None,
    user: User | None = None,
) -> Page:
    """Return one page of cells. `classes` are those of the project by code. Raises Invalid for an unknown class.

    With a `user` the filters and orders give away nothing that this person must not see yet.
    """
    facts = gather(session, project, filters, classifier, user)
    cell_ids = facts.columns.cell_ids
    chosen = np.flatnonzero(passing(facts, classes, filters))
    keys = _keys(facts, filters.order)
    cursor = filters.cursor
    if filters.order == "batch" and filters.place and not cursor:
        cursor = str(Cursor(after=True, key=filters.place - 0.5, cell_id=0))
    rows, offset = _cut(chosen, keys[chosen], cell_ids, cursor, filters.limit)
    previous = following = ""
    if len(rows) and offset > 0:
        previous = str(Cursor(False, float(keys[rows[0]]), int(cell_ids[rows[0]])))
    if len(rows) and offset + len(rows) < len(chosen):
        following = str(Cursor(True, float(keys[rows[-1]]), int(cell_ids[rows[-1]])))
    return Page(**vars(facts), rows=rows, total=len(chosen), offset=offset, next_cursor=following,
                previous_cursor=previous)  # fmt: skip


def all_rows(facts: Facts, classes: dict[str, CellClass], filters: GridFilters) -> npt.NDArray[np.int64]:
    """Return the rows of all cells that pass the filters, in their order; a cursor means nothing here."""
    chosen = np.flatnonzero(passing(facts, classes, filters))
    return chosen[np.argsort(_keys(facts, filters.order)[chosen], kind="stable")]


def gather(
    session: Session,
    project: Project,
    filters: GridFilters,
    classifier: Classifier | None = None,
    user: User | None = None,
) -> Facts:
    """Collect what the filters and the order need. Raises NotFound for a batch or cell the project does not have."""
    columns = columns_of(session, project.id)
    table: ScoreTable | None
    if classifier:
        table = table_of(classifier, columns)
    else:
        classifier, table = newest_scores(session, project.id, columns)
    batch = places = far = None
    if filters.batch != "":
        batch = find_batch(session, project.id, filters.batch)
        places = _places(columns, batch)
    if filters.similar != "":
        far = distances(session, project, columns, filters.similar)
    withheld = awaiting = np.zeros(len(columns), bool)
    if user:
        withheld = sight.withheld(project, columns)
        awaiting = sight.awaiting(session, project, columns, user.id)
    return Facts(columns, table, classifier, batch, places, far, withheld, awaiting)


_kept: Kept[tuple[int, datetime, int], Keys] = Kept(KEPT)


def _places(columns: Columns, batch: Batch) -> Keys:
    """Return the place of each cell in a batch (n,), infinity for cells that are not in it."""

    def look_up() -> Keys:
        places = np.full(len(columns), np.inf)
        rows = columns.places(batch.cell_ids)
        places[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        return places

    return _kept.get((batch.id, batch.created_at, len(columns)), look_up)


def passing(facts: Facts, classes: dict[str, CellClass], filters: GridFilters) -> npt.NDArray[np.bool_]:
    """Return which rows pass all filters (n,)."""
    columns, table, classifier = facts.columns, facts.table, facts.classifier
    mask = ~columns.removed if facts.places is None else np.isfinite(facts.places) & ~columns.removed
    if filters.class_:
        mask &= (columns.class_ids == _known(classes, filters.class_, "class").id) & ~facts.awaiting
    if filters.labelled:
        mask &= (columns.class_ids > 0) == (filters.labelled == "yes")
    if filters.scanner != "":
        mask &= columns.scanner_ids == filters.scanner
    if filters.slide != "":
        mask &= columns.slide_ids == filters.slide
    if filters.predicted:
        code = _known(classes, filters.predicted, "predicted").code
        if table is None or classifier is None or code not in classifier.classes:
            return np.zeros(len(columns), bool)
        mask &= (table.predicted == classifier.classes.index(code)) & ~facts.withheld
    return mask


def _known(classes: dict[str, CellClass], code: str, name: str) -> CellClass:
    if code not in classes:
        raise Invalid(_("%(name)s: this project has no class %(code)s.", name=name, code=code))
    return classes[code]


def _keys(facts: Facts, order: Order) -> Keys:
    """Return the sort key of each row (n,), smallest first. Ties are broken by the cell id."""
    columns, table = facts.columns, facts.table
    if order == "random":
        return scattered(columns.cell_ids, "order")
    if order == "batch" and facts.places is not None:
        return facts.places
    if order == "similar" and facts.distances is not None:
        return facts.distances.astype(np.float64)
    if order in ("newest", "batch", "similar") or table is None:
        return -columns.cell_ids.astype(np.float64)
    unknown = (table.predicted == NO_CLASS) | facts.withheld
    key = {"uncertain": table.margin, "confident": -table.confidence, "novel": -table.novelty}[order]
    return np.where(unknown, np.inf, key.astype(np.float64))


def _cut(
    chosen: npt.NDArray[np.int64], keys: Keys, cell_ids: npt.NDArray[np.int64], cursor: str, limit: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the rows of the page at the cursor, in order, and how many chosen rows come before them."""
    if not cursor:
        return _first(chosen, keys, cell_ids, limit), 0
    place = Cursor.parse(cursor)
    key, ids = place.key, cell_ids[chosen]
    if place.after:
        rest = (keys > key) | ((keys == key) & (ids > place.cell_id))
        return _first(chosen[rest], keys[rest], cell_ids, limit), len(chosen) - int(rest.sum())
    rest = (keys < key) | ((keys == key) & (ids < place.cell_id))
    # The last ones before the cursor: the first ones of the opposite order.
    rows = _first(chosen[rest], -keys[rest], -cell_ids, limit)[::-1]
    return rows, int(rest.sum()) - len(rows)


def _first(
    chosen: npt.NDArray[np.int64], keys: Keys, cell_ids: npt.NDArray[np.int64], limit: int
) -> npt.NDArray[np.int64]:
    """Return the `limit` rows of least (key, cell id), in that order."""
    if len(chosen) > limit:
        border = np.partition(keys, limit - 1)[limit - 1]
        near = np.flatnonzero(keys < border)
        ties = np.flatnonzero(keys == border)
        # Rows come in the order of cell ids, so the first or last ties are those of least (signed) id.
        need = limit - len(near)
        ties = ties[:need] if cell_ids[chosen[0]] <= cell_ids[chosen[-1]] else ties[-need:]
        keep = np.concatenate([near, ties])
        chosen, keys = chosen[keep], keys[keep]
    return chosen[np.lexsort((cell_ids[chosen], keys))]


def describe(page: Page, rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return what the classifier says about the cells in these rows: cell_id, predicted, confidence, novelty."""
    result: list[dict[str, Any]] = []
    for row in rows.tolist():
        item: dict[str, Any] = {
            "cell_id": int(page.columns.cell_ids[row]), "predicted": "", "confidence": None, "novelty": None,
        }  # fmt: skip
        if page.table is not None and page.classifier is not None:
            predicted = int(page.table.predicted[row])
            if predicted != NO_CLASS:
                item["predicted"] = page.classifier.classes[predicted]
                item["confidence"] = round(float(page.table.confidence[row]), 4)
                item["novelty"] = round(float(page.table.novelty[row]), 3)
        result.append(item)
    return result
