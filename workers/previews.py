"""What the newest slides of a scanner would say if another classifier reported on them, from stored embeddings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.cells.matrix import Matrix, matrix_of
from app.db import reading
from app.events import publish
from app.models import ActivationPreview, Classifier, Encoder, Project, Report, Slide
from app.reports import queries
from app.reports.differential import NONE, Kind
from app.reports.settings import kinds_of, reporting_of
from app.reports.sheet import Source, sheet_of, source_of
from app.storage import get_storage
from workers.classifiers import score_table
from workers.ml.artifacts import load_head
from workers.reports import embedded_cells
from workers.runner import Task

MOST_SLIDES = 200
SHOWN_MOVES = 20
UNCLASSIFIED = ""  # as a class code

Classes = dict[int, str]  # cell id -> class code


@dataclass
class Counts:
    """What was compared so far."""

    slides: int = 0
    unseen: int = 0  # cells the encoder of the classifier has not seen
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    signed: int = 0
    signed_otherwise: list[dict[str, Any]] = field(default_factory=list)


def preview(task: Task) -> None:
    """Classify the newest slides of a scanner that have a report by another classifier, and say what differs."""
    with reading() as session:
        wanted = session.get_one(ActivationPreview, task.arguments["preview_id"])
        classifier = session.get_one(Classifier, wanted.classifier_id)
        mine = (Slide.scanner_id == wanted.scanner_id) & Slide.id.in_(select(Report.slide_id))
        total = session.scalar(select(func.count()).select_from(Slide).where(mine)) or 0
        slides = session.scalars(select(Slide).where(mine).order_by(Slide.id.desc()).limit(MOST_SLIDES)).all()
        head, _card = load_head(get_storage().read(f"classifiers/{classifier.artifact}"))
        found, counts = _Comparer(session, classifier, head), Counts()
        for number, slide in enumerate(slides):
            found.compare(slide, counts)
            task.progress(number + 1, len(slides))
        codes = [kind.code for kind in found.kinds]
    with task.transaction() as session:
        session.get_one(ActivationPreview, wanted.id).found = _json(counts, codes, total)
        publish(session, task.project_id, "preview", {"classifier_id": classifier.id, "scanner_id": wanted.scanner_id})


def _json(counts: Counts, codes: Sequence[str], total: int) -> dict[str, Any]:
    before, after = _sides(counts.moves)
    changed = Counter({move: n for move, n in counts.moves.items() if move[0] != move[1]})
    return {
        "slides": counts.slides,
        "slides_in_all": total,
        "cells": counts.moves.total(),
        "changed": changed.total(),
        "unseen": counts.unseen,
        "classes": [[code, before[code], after[code]] for code in (*codes, UNCLASSIFIED)],
        "moves": [[*move, n] for move, n in changed.most_common(SHOWN_MOVES)],
        "signed": counts.signed,
        "signed_otherwise": sorted(counts.signed_otherwise, key=lambda each: -each["cells"]),
    }


class _Comparer:
    def __init__(self, session: Session, classifier: Classifier, head: Any) -> None:
        self.session, self.classifier, self.head = session, classifier, head
        project = session.get_one(Project, classifier.project_id)
        self.reporting = reporting_of(session, project)
        self.kinds: list[Kind] = kinds_of(session, project, self.reporting)
        self.matrix: Matrix = matrix_of(session.get_one(Encoder, classifier.encoder_id))

    def compare(self, slide: Slide, counts: Counts) -> None:
        report = queries.newest(self.session, slide)
        before = self._before(report)
        cell_ids, X, _unembedded = embedded_cells(self.session, slide, self.matrix)
        if not before or not len(cell_ids):
            return
        table = score_table(self.head, cell_ids, X)
        after = self._classes(slide, Source(self.classifier, False, self.reporting.reject_below, table))
        moves = Counter((code, after.get(cell, UNCLASSIFIED)) for cell, code in before.items())
        counts.slides += 1
        counts.unseen += len(before.keys() - set(cell_ids.tolist()))
        counts.moves += moves
        if report.sha256 is not None:
            counts.signed += 1
            if changed := sum(n for (one, other), n in moves.items() if one != other):
                about = {"report_id": report.id, "cells": changed, "of": len(before), **_largest(moves)}
                counts.signed_otherwise.append(about)

    def _before(self, report: Report) -> Classes:
        """Return what was signed; of an open report what it says now."""
        if report.sha256 is None:
            source = source_of(self.session, report, self.reporting)
            return self._classes(self.session.get_one(Slide, report.slide_id), source) if source else {}
        content = queries.report_of(self.session, report)
        return {cell.cell_id: cell.class_ or UNCLASSIFIED for cell in content.cells} if content else {}

    def _classes(self, slide: Slide, source: Source) -> Classes:
        sheet = sheet_of(self.session, slide.id, source, self.kinds, ordered=False)
        codes = [kind.code for kind in self.kinds]
        named = [UNCLASSIFIED if at == NONE else codes[at] for at in sheet.classes.tolist()]
        return {cell: code for (cell, _sha256), code in zip(sheet.cells, named, strict=True)}


def _sides(moves: Counter[tuple[str, str]]) -> tuple[Counter[str], Counter[str]]:
    """Return how many cells each class has before and after."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for (one, other), n in moves.items():
        before[one] += n
        after[other] += n
    return before, after


def _largest(moves: Counter[tuple[str, str]]) -> dict[str, Any]:
    """Return the class whose count changes most, with both counts."""
    before, after = _sides(moves)
    code = max({*before, *after}, key=lambda each: abs(after[each] - before[each]))
    return {"class": code, "before": before[code], "after": after[code]}
