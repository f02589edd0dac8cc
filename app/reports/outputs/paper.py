"""A report on one page of paper (A4), for the patient's file."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Final

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from app.language import _, decimal, ngettext, number, stored
from app.reports.content import CellLine, Row
from app.reports.outputs.printed import WORDS, Printed
from app.storage import get_storage

TO: Final = "\u2013"
MARGIN: Final = 15.0  # mm
LABEL: Final = 30.0  # mm
GALLERY: Final = 14  # cells
TILE: Final = 16.0  # mm
MOST_ROWS: Final = 24
GREY: Final = (95, 95, 95)
RED: Final = (176, 0, 32)


@lru_cache
def _font(style: str) -> Path:
    """Return a file of DejaVu Sans, which holds the letters of all European languages; matplotlib brings it along."""
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        raise FileNotFoundError("the font comes with matplotlib, which is not installed")
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{style}.ttf"


class Page(FPDF):
    """One page with the font of reports."""

    def __init__(self, title: str, author: str, made_at: datetime) -> None:
        super().__init__(format="A4")
        self.set_creation_date(made_at)
        self.set_title(title)
        self.set_author(author)
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=False)
        self.add_font("DejaVu", "", _font(""))
        self.add_font("DejaVu", "B", _font("-Bold"))
        self.add_page()

    def text_line(self, text: str, size: float = 8, *, bold: bool = False, color: Sequence[int] = (0, 0, 0)) -> None:
        """Write one paragraph over the whole width."""
        self.set_font("DejaVu", "B" if bold else "", size)
        self.set_text_color(*color)
        self.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.set_text_color(0, 0, 0)


def pdf(report: Printed) -> bytes:
    """Return the file. The same signed version gives the same bytes in the same language."""
    page = Page(report.title, report.content.made.software, report.moment)
    _head(page, report)
    _table(page, report)
    _remarks(page, report)
    _gallery(page, report)
    _foot(page, report)
    page.file_id = lambda: f"<{(report.sha256 or report.title).encode().hex()[:32]}>"  # type: ignore[method-assign]
    return bytes(page.output())


def _head(page: Page, report: Printed) -> None:
    header = report.content.header
    page.text_line(_("Leukocyte differential"), 15, bold=True)
    signed = report.status in {"final", "amended"}
    page.text_line(_(WORDS[report.status]), 10, bold=True, color=(0, 0, 0) if signed else RED)
    if header.synthetic:
        page.text_line(_("These cells are generated, not from patients."), 8, bold=True, color=RED)
    page.ln(1)
    facts = [
        (_("Accession"), header.accession),
        (_("Project"), header.project),
        (_("Scanner"), header.scanner),
        (_("Received"), moment(header.received_at)),
        (_("Version"), str(header.version) + (f" ({header.reason})" if header.reason else "")),
        (_("Counted"), ngettext("%(num)s cell", "%(num)s cells", report.content.counted.leukocytes)),
    ]
    page.set_font("DejaVu", "", 8)
    width = page.epw / 2
    for at, (name, value) in enumerate(facts):
        page.set_text_color(*GREY)
        page.cell(LABEL, 4.4, name)
        page.set_text_color(0, 0, 0)
        page.cell(width - LABEL, 4.4, _fitting(page, value, width - LABEL - 2))
        if at % 2:
            page.ln()
    page.ln(2)


def moment(at: datetime) -> str:
    """Say when something was."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _fitting(page: Page, text: str, width: float) -> str:
    """Shorten a text to what a line holds."""
    if page.get_string_width(text) <= width:
        return text
    while text and page.get_string_width(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _table(page: Page, report: Printed) -> None:
    content = report.content
    page.set_font("DejaVu", "", 7.5)
    rows = content.rows[:MOST_ROWS]
    with page.table(
        col_widths=(15, 40, 14, 14, 24, 30, 20, 14),
        text_align=("LEFT", "LEFT", *["RIGHT"] * 6),
        line_height=4,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD", fill_color=(238, 238, 238)),
    ) as table:
        table.row([
            _("Code"), _("Class"), _("Cells"), "%", _("95 %% interval"), _("Corrected %%"), _("Range %%"), "",
        ])  # fmt: skip
        for row in rows:
            table.row(_cells_of(row), style=FontFace(emphasis="BOLD") if len(row.members) > 1 else None)
        for each in content.beside:
            per = "" if each.per_100 is None else number(each.per_100, 1)
            limits = (
                "" if each.low is None or each.high is None else f"{number(each.low, 1)} {TO} {number(each.high, 1)}"
            )
            table.row([each.code, each.name, number(each.count), per, limits, "", "", "/100"])
    if len(content.rows) > MOST_ROWS:
        page.text_line(_("Further classes are in the electronic report."), 7, color=GREY)


def _cells_of(row: Row) -> list[str]:
    indent = "   " * row.level
    code = "Σ" if len(row.members) > 1 else row.code
    corrected = row.corrected
    return [
        code,
        indent + row.name,
        number(row.count),
        number(100 * row.share, 1),
        _limits(row.low, row.high),
        f"{number(100 * corrected.share, 1)} ({_limits(corrected.low, corrected.high)})" if corrected else "",
        f"{decimal(row.range[0])} {TO} {decimal(row.range[1])}" if row.range else "",
        {"below": _("low"), "above": _("high"), "": ""}[row.outside] + ("" if row.certain or not row.outside else " ?"),
    ]


def _limits(low: float, high: float) -> str:
    return f"{number(100 * low, 1)} {TO} {number(100 * high, 1)}"


def _remarks(page: Page, report: Printed) -> None:
    content = report.content
    page.ln(1.5)
    for flag in content.flags:
        unsure = "" if flag.certain else _("not sure: the interval holds the threshold")
        page.text_line(f"▸ {stored(flag.text)}" + (f" ({unsure})" if unsure else ""), 8, bold=True, color=RED)
    if content.counted.unclassified:
        page.text_line(
            _("%(cells)s cells are unclassified and in no percentage.", cells=number(content.counted.unclassified))
        )
    if content.header.despite:
        what = " ".join(stored(each).rstrip(".") + "." for each in content.header.despite)
        reason = content.header.despite_reason
        page.text_line(_("Signed although: %(what)s Reason: %(reason)s", what=what, reason=reason))
    if content.counted.more:
        more = {"more": number(content.counted.more), "within": decimal(content.counted.within)}
        page.text_line(
            _("Count %(more)s more cells to be within ±%(within)s percentage points in every class.", **more),
            color=GREY,
        )


def _gallery(page: Page, report: Printed) -> None:
    """Show the unclassified cells and those of the rarest classes, as many as there is room for."""
    chosen = shown(report)
    if not chosen:
        return
    page.ln(1)
    page.text_line(_("Unclassified and rare cells"), 8, bold=True)
    page.ln(1)
    left, top = page.l_margin, page.get_y()
    across = int(page.epw // (TILE + 9))
    page.set_font("DejaVu", "", 6)
    for at, cell in enumerate(chosen[: across * int((page.h - 48 - top) // (TILE + 6))]):
        x, y = left + at % across * (TILE + 9), top + at // across * (TILE + 5)
        data = _picture(cell)
        if data is not None:
            page.image(data, x, y, h=TILE, w=TILE, keep_aspect_ratio=True)
        page.set_xy(x, y + TILE)
        page.cell(TILE + 8, 3, cell.class_ or f"? {cell.predicted or ''}")
        page.set_xy(left, y + TILE + 4)


def shown(report: Printed) -> list[CellLine]:
    """Return the cells of the gallery: unclassified ones first, then those of the classes with the fewest cells."""
    counted = [cell for cell in report.content.cells if cell.counted]
    unclassified = [cell for cell in counted if cell.class_ is None]
    rare = sorted(
        (
            row
            for row in report.content.rows
            if len(row.members) == 1 and row.count and (row.share < 0.05 or row.count < 4)
        ),
        key=lambda row: row.count,
    )
    few = [cell for row in rare for cell in [each for each in counted if each.class_ == row.code][:4]]
    return [*unclassified[: GALLERY // 2], *few, *unclassified[GALLERY // 2 :]][:GALLERY]


def _picture(cell: CellLine) -> BytesIO | None:
    """Return the thumbnail of a cell, None where it is stored no more."""
    try:
        return BytesIO(get_storage().read(f"thumbnails/{cell.image_sha256}"))
    except FileNotFoundError:
        return None


def _foot(page: Page, report: Printed) -> None:
    made = report.content.made
    page.set_y(-40)
    page.set_draw_color(160, 160, 160)
    page.line(page.l_margin, page.get_y(), page.w - page.r_margin, page.get_y())
    page.ln(1.5)
    for each in report.signed:
        page.text_line(_("Signed by %(name)s, %(at)s", name=each.name, at=moment(each.at)), 9, bold=True)
    if not report.signed:
        page.text_line(_("Not signed: not for the patient's file."), 9, bold=True, color=RED)
    state = _("activated for this scanner")
    if made.preliminary:
        state = _("preliminary: nobody has activated it for this scanner")
    lines = [
        _("Classifier version %(version)s (%(state)s)", version=made.classifier_version, state=state),
        _("Encoder %(name)s, sha256 %(sha256)s", name=made.encoder, sha256=made.encoder_sha256),
        _("Intervals: exact binomial, 95 %%. Corrected: for the known confusion of the classifier."),
        f"{made.software} · {report.title}" + (f" · sha256 {report.sha256}" if report.sha256 else ""),
    ]
    for line in lines:
        page.text_line(line, 6.5, color=GREY)
