"""The decision for a candidate on paper (A4), with the comparison that the manager saw."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from fpdf.enums import TableBordersLayout
from sqlalchemy.orm import Session

from app.adaptations import queries
from app.config import software
from app.errors import Conflict
from app.language import _, number, p_value, percent
from app.models import Adaptation, Encoder, Project, Scanner
from app.reports.outputs.paper import GREY, TO, Page, moment


def pdf(session: Session, scanner: Scanner, adaptation: Adaptation) -> bytes:
    """Return the file; the same decision gives the same bytes in the same language. Raises Conflict without one."""
    decision = adaptation.decision
    if decision is None:
        raise Conflict(_("Nobody has decided for a candidate yet, so there is nothing to print."))
    at, found = datetime.fromisoformat(decision["at"]), decision["found"]
    page = Page(f"adaptation-{scanner.id}", software(), at)
    page.set_auto_page_break(auto=True, margin=page.l_margin)
    page.text_line(_("Adaptation to a scanner"), 15, bold=True)
    page.text_line(f"{session.get_one(Project, scanner.project_id).name} · {scanner.name}", 10, bold=True)
    page.ln(2)
    name = queries.names()[decision["candidate"]]
    page.text_line(_("Reports for this scanner are made by: %(name)s", name=name), 10, bold=True)
    page.text_line(_("Reason: %(reason)s", reason=decision["reason"]), 9)
    page.text_line(_("Signed by %(name)s, %(at)s", name=decision["by"], at=moment(at)), 9, bold=True)
    page.ln(2)
    _comparison(page, found)
    _recalls(page, found["comparison"])
    _foot(page, session, adaptation, decision)
    page.file_id = lambda: f"<{sha256(decision['at'].encode()).hexdigest()[:32]}>"  # type: ignore[method-assign]
    return bytes(page.output())


def _comparison(page: Page, found: dict[str, Any]) -> None:
    if shift := found["shift"]:
        low, high = (number(each, 2) for each in shift["interval"])
        value = number(shift["separability"], 2)
        text = _("Told apart from the other scanners with an AUROC of %(value)s (95 %% interval %(low)s to %(high)s): "
                 "0.5 would be no difference, 1 a complete one.", value=value, low=low, high=high)  # fmt: skip
        page.text_line(text, 9)
    cells, labels = number(found["validated"]), number(found["labels"])
    page.text_line(_("On %(count)s validation cells; %(labels)s labels of this scanner to learn from.",
                     count=cells, labels=labels), 9)  # fmt: skip
    names, compared = queries.names(), found["comparison"]
    page.text_line(_("Recommended: %(name)s", name=names[compared["recommended"]]), 9)
    if compared.get("expected") is not None:
        value, low, high = (percent(each, 1) for each in (compared["expected"], *compared["expected_interval"]))
        text = _("As it was chosen on these very cells, expect a little less of it than they say: a balanced accuracy "
                 "of %(value)s (95 %% interval %(low)s to %(high)s).", value=value, low=low, high=high)  # fmt: skip
        page.text_line(text, 9)
    page.ln(2)
    header = [_("Learns from"), _("Balanced accuracy"), _("95 %% interval"), _("p against the first")]
    rows = [
        [
            names[each["name"]],
            percent(each["balanced_accuracy"], 1),
            f"{percent(each['interval'][0], 1)} {TO} {percent(each['interval'][1], 1)}",
            "" if each["p_value"] is None else p_value(each["p_value"]),
        ]
        for each in compared["candidates"]
    ]
    _table(page, header, rows, (70, 35, 40, 35))


def _recalls(page: Page, compared: dict[str, Any]) -> None:
    page.ln(2)
    page.text_line(_("Recall of each class"), 9, bold=True)
    names, candidates = queries.names(), compared["candidates"]
    header = [_("Class"), _("Validation cells"), *(names[each["name"]] for each in candidates)]
    rows = [
        [
            code,
            number(candidates[0]["total"][at]),
            *(
                f"{percent(each['recall'][at])} ({number(100 * low)} {TO} {number(100 * high)})"
                for each in candidates
                for low, high in [each["recall_interval"][at]]
            ),
        ]
        for at, code in enumerate(compared["classes"])
    ]
    _table(page, header, rows, (16, 20, *(144 / len(candidates) for _each in candidates)))


def _table(page: Page, header: list[str], rows: list[list[str]], widths: tuple[float, ...]) -> None:
    page.set_font("DejaVu", "", 7)
    layout = TableBordersLayout.HORIZONTAL_LINES
    aligned = ("LEFT", *["RIGHT"] * (len(header) - 1))
    with page.table(col_widths=widths, text_align=aligned, line_height=4, borders_layout=layout) as table:
        for row in (header, *rows):
            table.row(row)


def _foot(page: Page, session: Session, adaptation: Adaptation, decision: dict[str, Any]) -> None:
    found = decision["found"]
    chosen = next(each for each in found["comparison"]["candidates"] if each["name"] == decision["candidate"])
    encoder = session.get_one(Encoder, found["encoder_id"])
    page.ln(2)
    for line in (
        _("The validation cells were drawn by chance and labelled without a prediction; no fit has seen them."),
        _("Seed of the drawing: %(seed)s", seed=adaptation.seed),
        _("Intervals of balanced accuracy: Bayesian (Brodersen et al. 2010); of recalls: Jeffreys."),
        _("p: McNemar's exact test, corrected after Holm."),
        _(
            "Classifier sha256 %(sha256)s, %(labels)s labels",
            sha256=chosen["artifact"],
            labels=number(chosen["labels"]),
        ),
        _("Encoder %(name)s, sha256 %(sha256)s", name=encoder.title, sha256=encoder.sha256),
    ):
        page.text_line(line, 6.5, color=GREY)
