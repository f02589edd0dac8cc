"""One page of the grid: filter a million cells that are in order already, and cut out 200."""

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.annotations import sight
from app.cells.index import Columns, columns_of
from app.errors import Invalid
from app.forms import LARGEST_ID, Id
from app.language import _
from app.models import Batch, CellClass, Classifier, Project, User
from app.predictions.batches import find_batch
from app.predictions.ranking import Keys, Ranking, Rows, at_random, by_score, newest_first, of_batch, rising
from app.predictions.scores import NO_CLASS, ScoreTable, newest_scores, table_of
from app.predictions.similar import Distances, distances

PAGE = 200
MOST_CELLS = 1000  # on one page
LONGEST_CURSOR = 200  # characters

Order = Literal["uncertain", "confident", "novel", "newest", "random", "batch", "similar"]


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
    """What is known of all cells of a project, n rows: columns, scores, the ranking of a batch, distances.

    `withheld` and `awaiting` are cells of which the person who looks must not see the prediction or the label yet.
    """

    columns: Columns
    table: ScoreTable | None
    classifier: Classifier | None
    batch: Batch | None
    ranked: Ranking | None
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
    ranking = _ranking(facts, filters.order)
    chosen = ranking.among(passing(facts, classes, filters))
    cursor = filters.cursor
    if filters.order == "batch" and filters.place and not cursor:
        cursor = str(Cursor(after=True, key=filters.place - 0.5, cell_id=0))
    start, stop = _cut(chosen, ranking.keys, cell_ids, cursor, filters.limit)
    rows = chosen[start:stop].astype(np.int64)
    previous = following = ""
    if len(rows) and start > 0:
        previous = str(Cursor(False, float(ranking.keys[rows[0]]), int(cell_ids[rows[0]])))
    if len(rows) and stop < len(chosen):
        following = str(Cursor(True, float(ranking.keys[rows[-1]]), int(cell_ids[rows[-1]])))
    return Page(**vars(facts), rows=rows, total=len(chosen), offset=start, next_cursor=following,
                previous_cursor=previous)  # fmt: skip


def all_rows(facts: Facts, classes: dict[str, CellClass], filters: GridFilters) -> Rows:
    """Return the rows of all cells that pass the filters, in their order; a cursor means nothing here."""
    return _ranking(facts, filters.order).among(passing(facts, classes, filters))


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
    batch = ranked = far = None
    if filters.batch != "":
        batch = find_batch(session, project.id, filters.batch)
        ranked = of_batch(columns, batch)
    if filters.similar != "":
        far = distances(session, project, columns, filters.similar)
    withheld = awaiting = np.zeros(len(columns), bool)
    if user:
        withheld = sight.withheld(project, columns)
        awaiting = sight.awaiting(session, project, columns, user.id)
    return Facts(columns, table, classifier, batch, ranked, far, withheld, awaiting)


def passing(facts: Facts, classes: dict[str, CellClass], filters: GridFilters) -> npt.NDArray[np.bool_]:
    """Return which rows pass all filters (n,)."""
    columns, table, classifier = facts.columns, facts.table, facts.classifier
    mask = ~columns.removed
    if facts.ranked is not None:
        mask &= np.isfinite(facts.ranked.keys)
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


def _ranking(facts: Facts, order: Order) -> Ranking:
    columns, table = facts.columns, facts.table
    if order == "random":
        return at_random(columns)
    if order == "batch" and facts.ranked is not None:
        return facts.ranked
    if order == "similar" and facts.distances is not None:
        return rising(facts.distances)
    if order in ("newest", "batch", "similar") or table is None or facts.classifier is None:
        return newest_first(columns)
    ranking = by_score(facts.classifier, table, order)
    return ranking.with_last((table.predicted == NO_CLASS) | facts.withheld)


def _cut(chosen: Rows, keys: Keys, cell_ids: npt.NDArray[np.int64], cursor: str, limit: int) -> tuple[int, int]:
    """Return where in the chosen rows the page at the cursor begins and ends."""
    if not cursor:
        return 0, min(limit, len(chosen))
    place = Cursor.parse(cursor)
    here = (place.key, place.cell_id)

    def key(row: int) -> tuple[float, int]:
        return float(keys[row]), int(cell_ids[row])

    if place.after:
        start = bisect_right(chosen, here, key=key)
        return start, min(start + limit, len(chosen))
    stop = bisect_left(chosen, here, key=key)
    return max(0, stop - limit), stop


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
