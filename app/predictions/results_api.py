"""REST endpoints that show a project and a cell with what the classifier says about them."""

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.annotations.queries import current
from app.cells.access import ViewableCell
from app.cells.api import CellItem, cell_item
from app.cells.index import columns_of
from app.db import SessionDep
from app.models import Cell, Image, Project
from app.predictions import grid
from app.predictions.api import ClassifierVersion, probabilities, version_of
from app.predictions.scores import newest_classifier
from app.predictions.service import class_rows, classes_by_code
from app.projects.access import ViewableProject
from app.projects.api import ProjectItem, project_etag, project_item
from app.projects.classes_api import ClassItem
from app.rest import rest_router
from app.scanners.api import ScannerItem, scanner_item
from app.scanners.queries import scanners

router = rest_router("results")


class ClassCounts(ClassItem):
    """A class with how many cells carry it and how many are predicted to be it."""

    labelled: int
    predicted: int


class ProjectResult(ProjectItem):
    """A project with its classes, scanners, and the classifier whose predictions are shown."""

    classes: list[ClassCounts]
    scanners: list[ScannerItem]
    classifier: ClassifierVersion | None = Field(description="Null as long as there are too few labels.")


class Label(BaseModel):
    """The present label of a cell."""

    class_: str = Field(alias="class")
    by: str | None
    source: str


class Prediction(BaseModel):
    """What the classifier says about a cell."""

    classifier: ClassifierVersion
    predicted: str
    confidence: float
    novelty: float
    probabilities: dict[str, float]


class CellResult(CellItem):
    """A cell with its label and prediction."""

    annotation: Label | None
    prediction: Prediction | None = Field(description="Null until it is embedded and scored.")


@router.get("/projects/{project_id}", summary="Read a project and its counts")
def read_project(project: ViewableProject, session: SessionDep, response: Response) -> ProjectResult:
    """Return classes with their counts, scanners and the present classifier. The ETag is that of the name."""
    classifier = newest_classifier(session, project.id)
    classes = class_rows(columns_of(session, project.id), classes_by_code(session, project.id), classifier)
    response.headers["ETag"] = project_etag(project)
    return ProjectResult(
        **project_item(project).model_dump(),
        classes=[
            ClassCounts(
                **{field: row[field] for field in ("id", "code", "name", "key", "color")},
                parent=row["parent_code"],
                labelled=row["count"],
                predicted=row["predicted_count"],
            )
            for row in classes
        ],
        scanners=[scanner_item(scanner) for scanner in scanners(session, project)],
        classifier=version_of(session, classifier),
    )


@router.get("/cells/{cell_id}", summary="Read a cell and its result")
def read_cell(cell: ViewableCell, session: SessionDep) -> CellResult:
    """Return a cell, its present label, and what the newest classifier says about it."""
    label = current(session, [cell.id]).get(cell.id)
    item = cell_item(cell, session.get_one(Image, cell.image_id), label.code if label else None)
    return CellResult.model_validate(
        {
            **item.model_dump(by_alias=True),
            "annotation": label and {"class": label.code, "by": label.by, "source": label.source},
            "prediction": _prediction(session, cell),
        }
    )


def _prediction(session: Session, cell: Cell) -> Prediction | None:
    project = session.get_one(Project, cell.project_id)
    page = grid.page(session, project, {}, grid.GridFilters(order="newest", limit=1))
    rows = page.columns.places([cell.id])
    described = grid.describe(page, rows)[0]
    classifier = version_of(session, page.classifier)
    if classifier is None or not described["predicted"]:
        return None
    return Prediction(
        classifier=classifier,
        predicted=described["predicted"],
        confidence=described["confidence"],
        novelty=described["novelty"],
        probabilities=probabilities(page, int(rows[0])),
    )
