"""Labels from a file of another program or project: which cells its rows mean, and which classes.

CSV with a row per cell, or COCO as app.annotations.coco writes it and labelling tools do. What is not known is named,
and nothing is guessed: a row means a cell by the sha256 of its image, else by slide and file name, else by the file
name alone where one cell has it, else by its id; a COCO box means the cell of the field that it overlaps by half.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.db import reading
from app.errors import Invalid
from app.language import _, ngettext
from app.models import Cell, CellClass, Field, Image, Project, Slide

MOST_ROWS = 100_000
LISTED = 20  # problems that are named
FETCH = 10_000  # cells read from the database at a time
OVERLAP = 0.5  # of the union of two boxes
Box = Sequence[float]


@dataclass(frozen=True)
class Row:
    """A label of the file: `place` says where it stands."""

    place: str
    label: str
    sha256: str = ""
    slide: str = ""
    file: str = ""
    cell_id: int = 0
    box: Box | None = None


@dataclass
class Found:
    """What a file says: the class code of each cell, and what could not be used; `changing` have another label."""

    rows: int = 0
    labels: dict[int, str] = field(default_factory=dict)
    changing: int = 0
    problems: list[str] = field(default_factory=list)
    unused: int = 0

    def refuse(self, row: Row, reason: str) -> None:
        """Count a row that cannot be used, and name it if few have been."""
        self.unused += 1
        if len(self.problems) < LISTED:
            self.problems.append(f"{row.place}: {reason}")


def look_into(project: Project, data: bytes) -> Found:
    """Match the rows of a file with the cells and classes of a project. Raises Invalid if it is no such file."""
    rows = list(_rows(data))
    if len(rows) > MOST_ROWS:
        raise Invalid(_("file: it has more than %(most)s labels; split it.", most=f"{MOST_ROWS:,}"))
    with reading() as session:
        cells, codes = _Cells(session, project, rows), _codes(session, project)
    found = Found(rows=len(rows))
    for row in rows:
        code = codes.get(row.label.casefold())
        matching = cells.of(row)
        if code is None:
            found.refuse(row, _("this project has no class %(code)s", code=row.label or "?"))
        elif not matching:
            found.refuse(row, _("no cell of this project fits"))
        elif any(found.labels.get(cell_id, code) != code for cell_id in matching):
            found.refuse(row, _("another row gives the cell another class"))
        else:
            found.labels |= dict.fromkeys(matching, code)
    found.changing = sum(cells.label_of[cell_id] not in {"", code} for cell_id, code in found.labels.items())
    return found


def _codes(session: Session, project: Project) -> dict[str, str]:
    """Return the code of each class by its code and by its name, in any case."""
    classes = session.scalars(select(CellClass).where(CellClass.project_id == project.id)).all()
    return {each.name.casefold(): each.code for each in classes} | {each.code.casefold(): each.code for each in classes}


def _cells(project: Project) -> Select[*tuple[Any, ...]]:
    return (
        select(Cell.id, Cell.name, Cell.box, Image.sha256, Slide.accession, Field.name.label("field"), CellClass.code)
        .join(Image, Image.id == Cell.image_id)
        .join(Slide, Slide.id == Cell.slide_id)
        .outerjoin(Field, Field.id == Cell.field_id)
        .outerjoin(CellClass, CellClass.id == Cell.class_id)
        .where(Cell.project_id == project.id, ~Cell.removed)
    )


class _Cells:
    """The cells of a project that rows of a file may mean, by all that a row may name; memory grows with the file."""

    def __init__(self, session: Session, project: Project, rows: Sequence[Row]) -> None:
        self.label_of: dict[int, str] = {}
        self.by_sha256: dict[str, list[int]] = defaultdict(list)
        self.by_name: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.in_field: dict[tuple[str, str], list[tuple[int, Box]]] = defaultdict(list)
        sha256s, files, ids = ({getattr(row, name) for row in rows} for name in ("sha256", "file", "cell_id"))
        for cell in session.execute(_cells(project).execution_options(yield_per=FETCH)):
            if cell.sha256 in sha256s or files & {cell.name, cell.field} or cell.id in ids:
                self._add(cell)

    def _add(self, cell: Any) -> None:
        self.label_of[cell.id] = cell.code or ""
        self.by_sha256[cell.sha256].append(cell.id)
        for slide in (cell.accession, ""):
            self.by_name[slide, cell.name].append(cell.id)
            if cell.field and cell.box:
                self.in_field[slide, cell.field].append((cell.id, cell.box))

    def of(self, row: Row) -> list[int]:
        """Return the cells a row means: several only where they show the same image."""
        if row.sha256 in self.by_sha256:
            return self.by_sha256[row.sha256]
        if row.box is not None and (row.slide, row.file) in self.in_field:
            return self._overlapping(row.box, self.in_field[row.slide, row.file])
        named = self.by_name.get((row.slide, row.file), []) if row.file else []
        if row.file or row.sha256:
            return named if len(named) == 1 else []
        return [row.cell_id] if row.cell_id in self.label_of else []

    @staticmethod
    def _overlapping(box: Box, cells: Sequence[tuple[int, Box]]) -> list[int]:
        best = max(cells, key=lambda cell: _overlap(box, cell[1]))
        return [best[0]] if _overlap(box, best[1]) >= OVERLAP else []


def _overlap(a: Box, b: Box) -> float:
    """Return the area two boxes (left, top, right, bottom) share, over that of their union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def _rows(data: bytes) -> Iterator[Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(_("file: this is neither CSV nor COCO in UTF-8.")) from None
    return _of_coco(text) if text.lstrip().startswith("{") else _of_csv(text)


def _of_csv(text: str) -> Iterator[Row]:
    first = text.partition("\n")[0]
    lines = csv.DictReader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    columns = {(name or "").strip().lower(): name for name in lines.fieldnames or []}
    label = columns.get("class") or columns.get("label")
    if label is None or not columns.keys() & {"image_sha256", "file", "path", "cell_id"}:
        raise Invalid(_("file: its first line must name a column class (or label), and image_sha256, file or cell_id."))

    def value(line: dict[str, Any], *names: str) -> str:
        return next((str(line[columns[name]] or "").strip() for name in names if name in columns), "")

    try:
        for line in lines:
            number = value(line, "cell_id")
            yield Row(
                _("line %(number)s", number=lines.line_num), str(line[label] or "").strip(),
                sha256=value(line, "image_sha256"), slide=value(line, "slide"), file=value(line, "file", "path"),
                cell_id=int(number) if number.isdecimal() else 0,
            )  # fmt: skip
    except csv.Error as error:
        raise Invalid(_("file: this is neither CSV nor COCO in UTF-8.")) from error


def _of_coco(text: str) -> Iterator[Row]:
    try:
        document = json.loads(text)
        names = {each["id"]: str(each["name"]) for each in document["categories"]}
        images = {each["id"]: each for each in document["images"]}
        annotations = document["annotations"]
        for number, each in enumerate(annotations, 1):
            yield _of_annotation(number, each, names, images)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(_("file: this is no COCO file with categories, images and annotations.")) from error


def _of_annotation(number: int, item: dict[str, Any], names: dict[Any, str], images: dict[Any, Any]) -> Row:
    image = images[item["image_id"]]
    left, top, width, height = (float(value) for value in item.get("bbox") or (0, 0, 0, 0))
    return Row(
        _("annotation %(number)s", number=number), names[item["category_id"]], sha256=str(image.get("sha256", "")),
        slide=str(image.get("slide", "")), file=str(image["file_name"]),
        box=(left, top, left + width, top + height) if item.get("bbox") else None,
    )  # fmt: skip


def summary(found: Found) -> str:
    """Say in a sentence what a file holds."""
    return ngettext("%(num)s label, of which %(used)s can be used.", "%(num)s labels, of which %(used)s can be used.",
                    found.rows, used=f"{found.rows - found.unused:,}")  # fmt: skip
