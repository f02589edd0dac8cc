"""What the labels so far have brought and more would bring: the meter of each class, the advice, the learning curve."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.language import _, number
from app.models import Classifier

POINTS = 200  # versions on the learning curve
WORTH = 0.005  # recall that ten labels should bring to be worth them
WIDE = 0.1  # a 95 % interval of recall wider than this says too little to stop before TARGET labels
TARGET = 50  # labels per class the meter counts towards: what the paper's method needs


def evaluated(session: Session, project_id: int) -> Classifier | None:
    """Return the newest version that has been cross-validated; the next one often comes before the last is.

    One adapted to a scanner is none of these: its figures are of that scanner's validation cells.
    """
    mine = (Classifier.project_id == project_id) & Classifier.metrics.is_not(None) & (Classifier.adapted == "")
    return session.scalar(select(Classifier).where(mine).order_by(Classifier.version.desc()).limit(1))


def meter(metrics: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return recall with its interval and the gain of ten more labels per class code; only classes with a recall."""
    gains = metrics.get("gain") or [None] * len(metrics["classes"])  # older versions do not know it
    columns = zip(metrics["classes"], metrics["recall"], metrics["recall_interval"], gains, strict=True)
    return {
        code: {"recall": recall, "low": low, "high": high, "gain": gain}
        for code, recall, (low, high), gain in columns
        if recall is not None
    }


def advice(figures: dict[str, dict[str, Any]], labels: dict[str, int]) -> str:
    """Say in a sentence or two where to go on labelling and where to stop. `labels` counts those of every class.

    A class has enough when ten more labels would likely add less than WORTH to its recall, and it has TARGET labels or
    an interval of recall no wider than WIDE: few labels that are all right prove little.
    """
    none = [code for code, count in labels.items() if count == 0]
    if none:
        return _("No label yet: %(codes)s.", codes=", ".join(none))
    gains = {code: figure["gain"] for code, figure in figures.items() if figure["gain"] is not None}
    if len(gains) < len(labels):
        few = [code for code in labels if code not in gains]
        return _("Too few labels to say what more would bring: %(codes)s.", codes=", ".join(few))
    width = {code: figures[code]["high"] - figures[code]["low"] for code in gains}
    unsure = [code for code in gains if labels[code] < TARGET and width[code] > WIDE]
    done = [code for code, gain in gains.items() if gain < WORTH and code not in unsure]
    best = max(gains, key=lambda code: gains[code])
    if gains[best] < WORTH and not unsure:
        return _("More labels would hardly help: ten more of any class add less than half a point.")
    sentence = _go_on(best, gains[best]) if gains[best] >= WORTH else _still_unsure(unsure, width, figures, labels)
    enough = [_("Enough of %(codes)s.", codes=", ".join(done))] if done else []
    return " ".join([sentence, *enough])


def _go_on(code: str, gain: float) -> str:
    return _(
        "Go on with %(code)s: ten more labels would likely add %(points)s points to its recall.",
        code=code,
        points=number(100 * gain, 1),
    )


def _still_unsure(
    codes: list[str], width: dict[str, float], figures: dict[str, dict[str, Any]], labels: dict[str, int]
) -> str:
    widest = max(codes, key=lambda code: width[code])
    return _(
        "Go on with %(code)s: from %(labels)s labels its recall may be anywhere from %(low)s to %(high)s %%. "
        "Below %(target)s labels that is too uncertain to stop.",
        code=widest,
        labels=number(labels[widest]),
        low=number(100 * figures[widest]["low"]),
        high=number(100 * figures[widest]["high"]),
        target=TARGET,
    )


def learning_curve(session: Session, project_id: int) -> list[dict[str, float | None]]:
    """Return the newest versions, fewest labels first: `labels`, the `estimate` of the fit, and `accuracy` with its
    interval `low` to `high` where it was cross-validated, else None."""
    query = select(Classifier.labels, Classifier.estimate, Classifier.metrics)
    query = query.where(Classifier.project_id == project_id, Classifier.adapted == "")
    query = query.order_by(Classifier.version.desc()).limit(POINTS)
    points: list[dict[str, float | None]] = []
    for row in session.execute(query):
        low, high = row.metrics["interval"] if row.metrics else (None, None)
        accuracy = row.metrics["balanced_accuracy"] if row.metrics else None
        points.append({"labels": row.labels, "estimate": row.estimate, "accuracy": accuracy, "low": low, "high": high})
    return sorted(points, key=lambda point: point["labels"] or 0)
