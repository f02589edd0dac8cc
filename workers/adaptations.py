"""How far a new scanner is from the others, which head would serve it best, and letting that one report for it."""

from dataclasses import asdict
from functools import partial
from io import BytesIO
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from sqlalchemy import select

from app.cells.index import Columns, columns_of
from app.classifiers.service import activate
from app.db import now, reading
from app.events import publish
from app.models import Adaptation, Classifier, Project, Scanner, User
from app.models.project import lock
from app.projects.queries import classes
from app.storage import get_storage
from workers.classifiers import HEAD, Fitted, card_of, newest, score_table, version_of
from workers.material import FEWEST_CLASSES, Material, collect
from workers.ml.artifacts import dump_head, load_head
from workers.ml.candidates import compare as compare_heads
from workers.ml.heads import few, fit_head
from workers.ml.shift import FEWEST_CELLS, measure_shift, measure_shift_per_class
from workers.runner import Task

Matrix = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.str_]
Mask = npt.NDArray[np.bool_]


def compare(task: Task) -> None:
    """Measure the shift and, where labels allow, compare candidates on the validation cells; store both."""
    with reading() as session:
        adaptation = session.get_one(Adaptation, task.arguments["adaptation_id"])
        material = collect(session, task.project_id)
        columns = columns_of(session, task.project_id)
        codes = {item.id: item.code for item in classes(session, session.get_one(Project, task.project_id))}
    found = _found(material, columns, codes, adaptation)
    with task.transaction() as session:
        mine = session.get_one(Adaptation, adaptation.id)
        mine.comparison = {**found, "history": _history(mine.comparison, found)}
        publish(session, task.project_id, "adaptation", {"scanner_id": adaptation.scanner_id})


def _history(before: dict[str, Any] | None, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what comparisons so far expected of their recommended candidate, one for each number of labels."""
    history = [each for each in (before or {}).get("history", []) if each["labels"] != found["labels"]]
    compared = found["comparison"]
    if compared and compared["expected"] is not None:
        told = {name: compared[name] for name in ("recommended", "expected", "expected_interval")}
        history.append({"labels": found["labels"], "at": found["at"], **told})
    return history


def _found(material: Material, columns: Columns, codes: dict[int, str], adaptation: Adaptation) -> dict[str, Any]:
    """Return shift and comparison as JSON; None of what there is not enough for."""
    places = columns.places(material.cell_ids)
    here = columns.scanner_ids[places] == adaptation.scanner_id
    frozen = columns.frozen[places]
    X, y = material.X, material.y
    mine = here[np.searchsorted(material.cell_ids, material.labelled)]
    reference, new = (X[~mine], y[~mine]), (X[mine], y[mine])
    old_cells, new_cells = _some(material, ~here & ~frozen), _some(material, here & ~frozen)
    validation = _validation(material, columns, codes, adaptation)
    enough = len(validation[1]) and len(np.unique(reference[1])) >= FEWEST_CLASSES
    unlabelled = _some(material, here & material.free)
    compared, heads = None, dict[str, Any]()
    if enough:
        judged, heads = compare_heads(reference, new, unlabelled, validation, partial(fit_head, HEAD))
        compared = asdict(judged)
        for each in compared["candidates"]:
            each |= _store(material, mine, each["name"], heads[each["name"]])
    measured = measure_shift(old_cells, new_cells) if min(len(old_cells), len(new_cells)) >= FEWEST_CELLS else None
    per_class = measure_shift_per_class(*reference, *new)
    return {
        "believed": _believed(heads.get("existing"), reference, _some(material, ~here & material.free), unlabelled),
        "shift": measured and asdict(measured),
        "shift_of_classes": {code: asdict(shift) for code, shift in per_class.items()},
        "labels": len(new[1]),
        "validated": len(validation[1]),
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


def _store(material: Material, mine: Mask, name: str, head: Any) -> dict[str, Any]:
    """Keep the head of a candidate; returns where it is stored and how many labels it learnt from."""
    used = {"existing": ~mine, "new": mine, "both": np.ones_like(mine)}[name.removesuffix(", aligned")]
    card = card_of(material.encoder_sha256, material.labelled[used], material.y[used])
    stored = get_storage().put("classifiers", BytesIO(dump_head(head, card)))
    return {"artifact": stored.sha256, "labels": int(used.sum())}


def adopt(task: Task) -> None:
    """Score all cells by a candidate somebody decided on, make it a version, and let it report for its scanner."""
    started = perf_counter()
    artifact = task.arguments["candidate"]["artifact"]
    head, card = load_head(get_storage().read(f"classifiers/{artifact}"))
    with reading() as session:
        material = collect(session, task.project_id)
    if material.encoder_sha256 != card["encoder_sha256"]:
        raise ValueError("the project has moved to another encoder since the comparison")
    table = score_table(head, material.cell_ids, material.X_all)
    scores = get_storage().put("scores", BytesIO(save(table)))
    with task.transaction() as session:
        lock(session, task.project_id)
        adaptation = session.get_one(Adaptation, task.arguments["adaptation_id"])
        scanner = session.get_one(Scanner, adaptation.scanner_id)
        # Run twice, or decided on once more: it is a version already.
        known = (Classifier.artifact == artifact) & (Classifier.scanner_id == scanner.id) & (Classifier.adapted != "")
        classifier = session.scalar(select(Classifier).where(known))
        if classifier is None:
            name = task.arguments["candidate"]["name"]
            classifier = version_of(
                newest(session, task.project_id),
                material,
                Fitted(head, card, artifact, table, scores.sha256),
                state="candidate",
                name=name,
                adapted=name,
                scanner_id=scanner.id,
                fit_seconds=perf_counter() - started,
            )
            session.add(classifier)
            session.flush()
        by = session.get_one(User, task.arguments["user_id"])
        activate(session, classifier, scanner, by, reason=task.arguments["reason"])
        publish(session, task.project_id, "adaptation", {"scanner_id": scanner.id})


def _some(material: Material, mask: Mask) -> Matrix:
    rows = material.rows[mask]
    return np.asarray(material.vectors[rows[few(len(rows))]], np.float32)


def _validation(
    material: Material, columns: Columns, codes: dict[int, str], adaptation: Adaptation
) -> tuple[Matrix, Labels]:
    """Return embeddings and labels of the validation cells that somebody has labelled one by one."""
    at = np.flatnonzero(np.isin(material.cell_ids, adaptation.validation))
    places = columns.places(material.cell_ids[at])
    given = (columns.class_ids[places] > 0) & ~columns.unseen[places]
    y = np.array([codes[class_id] for class_id in columns.class_ids[places[given]].tolist()], np.str_)
    return np.asarray(material.vectors[material.rows[at[given]]], np.float32), y
