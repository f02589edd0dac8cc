"""How far a new scanner is from the others, which head would serve it best, and letting that one report for it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.adaptations.queries import NAMES, trained
from app.cells.index import Columns, columns_of
from app.cells.matrix import matrix_of
from app.classifiers.service import activate
from app.db import now, reading
from app.events import publish
from app.models import Adaptation, Classifier, Encoder, Project, Scanner, User
from app.models.project import lock
from app.projects.queries import classes
from app.storage import get_storage
from workers.classifiers import HEAD, Fitted, card_of, newest, score_table, version_of
from workers.evaluation import validate
from workers.material import FEWEST_CLASSES, Material, collect
from workers.ml.artifacts import dump_head, load_head
from workers.ml.candidates import TRAINED, Seen, Truth
from workers.ml.candidates import compare as compare_heads
from workers.ml.heads import few, fit_head
from workers.ml.shift import FEWEST_CELLS, measure_shift, measure_shift_per_class
from workers.runner import Task
from workers.waiting import wait_for

Matrix = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.str_]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Parts:
    """What a comparison works on: places in `Material.cell_ids` of cells in their roles, and the labels of some.

    `old_cells` and `new_cells` are some of all that may be fitted on, `old_free` and `unlabelled` some without a label.
    `mine` says which of the labelled cells (m,) are the new scanner's.
    """

    reference: Places
    new: Places
    validation: Places
    truth: Truth
    old_cells: Places
    new_cells: Places
    old_free: Places
    unlabelled: Places
    mine: Mask

    @property
    def comparable(self) -> bool:
        """Whether there is something to compare, and cells to do it on."""
        return len(self.validation) > 0 and len(np.unique(self.truth.reference)) >= FEWEST_CLASSES

    def seen(self, see: Callable[[Places], Matrix]) -> Seen:
        """Return the cells that candidates are compared on as `see` sees them."""
        return Seen(see(self.reference), see(self.new), see(self.unlabelled), see(self.validation))


@dataclass(frozen=True)
class View:
    """An encoder, and the cells as it sees them."""

    encoder_id: int
    encoder_sha256: str
    seen: Seen


def compare(task: Task) -> None:
    """Measure the shift and, where labels allow, compare candidates on the validation cells; store both.

    An encoder that was trained further first sees the cells; until it has, this is asked for again.
    """
    with reading() as session:
        left = job_queries.remaining_images(session, task.project_id)
        adaptation = session.get_one(Adaptation, task.arguments["adaptation_id"])
        material = collect(session, task.project_id)
        columns = columns_of(session, task.project_id)
        codes = {item.id: item.code for item in classes(session, session.get_one(Project, task.project_id))}
        run = trained(session, session.get_one(Scanner, adaptation.scanner_id))
        encoder = session.get_one(Encoder, run.encoder_id) if run else None
    parts = _parts(material, columns, codes, adaptation)
    images = columns.image_ids[columns.places(material.cell_ids)]
    further = None
    if encoder and parts.comparable and len(parts.new):
        matrix = matrix_of(encoder)
        used = images[np.concatenate([parts.reference, parts.new, parts.unlabelled, parts.validation])]
        if wait_for(task, encoder.id, used[matrix.rows(used) < 0], left):
            return
        seen = parts.seen(lambda places: _vectors(matrix.vectors, matrix.rows(images[places])))
        further = View(encoder.id, encoder.sha256, seen)
    found = _found(material, parts, further)
    with task.transaction() as session:
        mine = session.get_one(Adaptation, adaptation.id)
        before, mine.comparison = mine.comparison, {**found, "history": _history(mine.comparison, found)}
        gone = _unused(session, task.project_id, before)
        publish(session, task.project_id, "adaptation", {"scanner_id": adaptation.scanner_id})
    for sha256 in gone:
        get_storage().delete(f"classifiers/{sha256}")


def _unused(session: Session, project_id: int, before: dict[str, Any] | None) -> set[str]:
    """Return heads of an earlier comparison that no comparison, decision or version refers to any more."""
    heads = _heads(before)
    for each in session.scalars(select(Adaptation).where(Adaptation.project_id == project_id)):
        heads -= _heads(each.comparison) | _heads(each.decision and each.decision["found"])
    return heads - set(session.scalars(select(Classifier.artifact).where(Classifier.artifact.in_(heads))))


def _heads(found: dict[str, Any] | None) -> set[str]:
    compared = found and found["comparison"]
    return {each["artifact"] for each in compared["candidates"]} if compared else set()


def _history(before: dict[str, Any] | None, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what comparisons so far expected of their recommended candidate, one for each number of labels."""
    history = [each for each in (before or {}).get("history", []) if each["labels"] != found["labels"]]
    compared = found["comparison"]
    if compared and compared["expected"] is not None:
        told = {name: compared[name] for name in ("recommended", "expected", "expected_interval")}
        history.append({"labels": found["labels"], "at": found["at"], **told})
    return history


def _parts(material: Material, columns: Columns, codes: dict[int, str], adaptation: Adaptation) -> Parts:
    places = columns.places(material.cell_ids)
    here = columns.scanner_ids[places] == adaptation.scanner_id
    frozen = columns.frozen[places]
    labelled = np.searchsorted(material.cell_ids, material.labelled)
    mine = here[labelled]
    # Only what somebody has labelled cell by cell tells the truth.
    given = (columns.class_ids[places] > 0) & ~columns.unseen[places]
    validation = np.flatnonzero(np.isin(material.cell_ids, adaptation.validation) & given)
    y = np.array([codes[class_id] for class_id in columns.class_ids[places[validation]].tolist()], np.str_)
    return Parts(
        reference=labelled[~mine],
        new=labelled[mine],
        validation=validation,
        truth=Truth(material.y[~mine], material.y[mine], y),
        old_cells=_some(~here & ~frozen),
        new_cells=_some(here & ~frozen),
        old_free=_some(~here & material.free),
        unlabelled=_some(here & material.free),
        mine=mine,
    )


def _found(material: Material, parts: Parts, further: View | None) -> dict[str, Any]:
    """Return shift and comparison as JSON; None of what there is not enough for."""

    def see(places: Places) -> Matrix:
        return _vectors(material.vectors, material.rows[places])

    seen, truth = parts.seen(see), parts.truth
    usual = View(material.encoder_id, material.encoder_sha256, seen)
    compared, heads = None, dict[str, Any]()
    if parts.comparable:
        judged, heads = compare_heads(seen, truth, partial(fit_head, HEAD), further.seen if further else None)
        compared = asdict(judged)
        for each in compared["candidates"]:
            head = heads[each["name"]]
            view = further if further and each["name"] == TRAINED else usual
            each |= _store(material, parts.mine, each["name"], head, view)
            each["metrics"] = validate(head, view.seen.validation, truth.validation, material.parents)
    old_cells, new_cells = see(parts.old_cells), see(parts.new_cells)
    measured = measure_shift(old_cells, new_cells) if min(len(old_cells), len(new_cells)) >= FEWEST_CELLS else None
    per_class = measure_shift_per_class(seen.reference, truth.reference, seen.new, truth.new)
    reference = seen.reference, truth.reference
    return {
        "believed": _believed(heads.get("existing"), reference, see(parts.old_free), seen.unlabelled),
        "shift": measured and asdict(measured),
        "shift_of_classes": {code: asdict(shift) for code, shift in per_class.items()},
        "labels": len(truth.new),
        "validated": len(truth.validation),
        "newest_annotation_id": material.newest_annotation_id,
        "encoder_id": material.encoder_id,
        "comparison": compared,
        "at": now().isoformat(),
    }


def _believed(
    head: Any, reference: tuple[Matrix, Labels], old_cells: Matrix, new_cells: Matrix
) -> dict[str, float] | None:
    """Return which share of unlabelled cells a classifier of the reference's labels believes to have right.

    `head` is that classifier, if it is fitted already. The means of its highest probabilities, which are calibrated on
    the reference; their difference estimates without a label what is lost at least (Guillory et al. 2021, ICCV). None
    with too few labels or cells.
    """
    if len(np.unique(reference[1])) < FEWEST_CLASSES or min(len(old_cells), len(new_cells)) < FEWEST_CELLS:
        return None
    if head is None:
        head = fit_head(HEAD, *reference)
    old, new = (float(head.predict_proba(cells).max(1).mean()) for cells in (old_cells, new_cells))
    return {"reference": old, "new": new}


def _store(material: Material, mine: Mask, name: str, head: Any, view: View) -> dict[str, Any]:
    """Keep the head of a candidate; returns where it is stored, its encoder, and how many labels it learnt from."""
    used = {"existing": ~mine, "new": mine, "both": np.ones_like(mine)}[name.partition(",")[0]]
    card = card_of(view.encoder_sha256, material.labelled[used], material.y[used])
    stored = get_storage().put("classifiers", BytesIO(dump_head(head, card)))
    return {"artifact": stored.sha256, "encoder_id": view.encoder_id, "labels": int(used.sum())}


def adopt(task: Task) -> None:
    """Score all cells by a candidate somebody decided on, make it a version, and let it report for its scanner.

    An encoder that was trained further first sees all cells of the scanner; until then the version before reports.
    """
    started = perf_counter()
    candidate = task.arguments["candidate"]
    with reading() as session:
        left = job_queries.remaining_images(session, task.project_id)
        adaptation = session.get_one(Adaptation, task.arguments["adaptation_id"])
        unseen = _unseen(session, adaptation, session.get_one(Encoder, candidate["encoder_id"]))
        material = collect(session, task.project_id, candidate["encoder_id"])
    if wait_for(task, candidate["encoder_id"], unseen, left):
        return
    fitted = _scored(material, candidate["artifact"])
    with task.transaction() as session:
        lock(session, task.project_id)
        scanner = session.get_one(Scanner, adaptation.scanner_id)
        # Run twice, or decided on once more: it is a version already.
        known = (Classifier.artifact == fitted.artifact) & (Classifier.scanner_id == scanner.id)
        classifier = session.scalar(select(Classifier).where(known, Classifier.adapted != ""))
        if classifier is None:
            classifier = version_of(
                newest(session, task.project_id),
                material,
                fitted,
                state="candidate",
                name=NAMES[candidate["name"]],
                adapted=candidate["name"],
                scanner_id=scanner.id,
                metrics=candidate["metrics"],
                fit_seconds=perf_counter() - started,
            )
            session.add(classifier)
            session.flush()
        by = session.get_one(User, task.arguments["user_id"])
        activate(session, classifier, scanner, by, reason=task.arguments["reason"])
        publish(session, task.project_id, "adaptation", {"scanner_id": scanner.id})


def _scored(material: Material, artifact: str) -> Fitted:
    head, card = load_head(get_storage().read(f"classifiers/{artifact}"))
    table = score_table(head, material.cell_ids, material.X_all)
    return Fitted(head, card, artifact, table, get_storage().put("scores", BytesIO(save(table))).sha256)


def _unseen(session: Session, adaptation: Adaptation, encoder: Encoder) -> Places:
    """Return the images of a scanner that the encoder of its project could read, and this one has not seen."""
    columns = columns_of(session, adaptation.project_id)
    images = columns.image_ids[(columns.scanner_ids == adaptation.scanner_id) & ~columns.removed]
    usual = matrix_of(session.get_one(Encoder, session.get_one(Project, adaptation.project_id).encoder_id))
    return np.unique(images[(usual.rows(images) >= 0) & (matrix_of(encoder).rows(images) < 0)])


def _some(mask: Mask) -> Places:
    places = np.flatnonzero(mask)
    return places[few(len(places))]


def _vectors(vectors: npt.NDArray[np.float16], rows: Places) -> Matrix:
    return np.asarray(vectors[rows], np.float32)
