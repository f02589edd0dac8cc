"""REST endpoints of the reports: a slide with its differential, and the versions of its report."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import SessionDep
from app.language import stored
from app.models import Project, Report, Slide, Upload
from app.predictions.api import ClassifierVersion
from app.reports import queries
from app.reports.access import ViewableReport
from app.reports.content import Beside, Content, Estimate, Flag, Row, SignedBy
from app.rest import Page, PagingQuery, rest_router, rows_of_page
from app.slides import queries as slides
from app.slides import states
from app.slides.access import ViewableSlide
from app.slides.api import SlideItem, slide_item

router = rest_router("reports")

State = Literal["open", "waiting", "signed"]


class SlideCounts(BaseModel):
    """Cells of the slide, those with a label, those the encoder has seen; and files that were refused."""

    cells: int
    labelled: int
    embedded: int
    refused: int


class ClassShare(BaseModel):
    """A class of the differential, or a sum of classes: their count and share (0 to 1) with its 95 % interval."""

    class_: str = Field(alias="class")
    count: int
    share: float
    low: float
    high: float
    corrected: Estimate | None = Field(description="Corrected for the known confusion of the classifier.")
    range: tuple[float, float] | None = Field(description="Reference range in per cent.")
    outside: Literal["", "below", "above"]
    certain: bool = Field(description="Whether the whole interval is outside of the range.")


class Differential(BaseModel):
    """The differential as the newest version of the report has it. `cells` is how many make the 100 %."""

    report_id: int | None = Field(description="Null as long as nobody has looked at the report.")
    version: int
    state: State
    preliminary: bool = Field(description="Nobody has activated this classifier for the scanner.")
    classifier: ClassifierVersion
    cells: int
    unclassified: int = Field(description="Cells that fit no class, or none well enough; in no percentage.")
    unscored: int = Field(description="Those among them that the classifier has not seen, or cannot see.")
    classes: list[ClassShare]
    sums: list[ClassShare] = Field(description="Classes with their subclasses; `class` joins the codes by +.")
    beside: list[Beside] = Field(description="Classes that are no part of the 100 %.")
    flags: list[Flag]


class StateSince(BaseModel):
    """That the slide came into a state, and when."""

    state: states.State
    at: datetime
    reason: str = Field(description="Of `failed`, in words.")


class SlideResult(SlideItem):
    """A slide and its result so far.

    `receiving`: images are to come, or it is not said that there are no more. `queued`: complete, and waits for a
    worker. `processing`: cells are cut, embedded, classified. `needs_review`: the report is open. `signed`. `failed`:
    the work was given up, or there was no cell.
    """

    states: list[StateSince] = Field(description="All states it was in, oldest first.")
    counts: SlideCounts
    differential: Differential | None = Field(description="Null as long as the project has no classifier.")


class ReportItem(BaseModel):
    """A version of the report of a slide.

    `open`: it says what holds now. `waiting`: it is signed and waits for its second signature. `signed`.
    """

    id: int
    slide_id: int
    version: int
    state: State
    reason: str = Field(description="Why there is a version after a signed one.")
    sha256: str | None = Field(description="Of the signed content; null while it is open.")
    signatures: list[SignedBy]
    created_at: datetime


class ReportResult(ReportItem):
    """A version of the report of a slide, with what it says."""

    content: Content | None = Field(description="Null as long as the project has no classifier.")


@router.get("/slides/{slide_id}", summary="Read a slide and its result")
def read_slide(slide: ViewableSlide, session: SessionDep) -> SlideResult:
    """Return state, counts and the differential of the newest version of its report.

    Nobody has to review it: an open report holds the predictions, by the reporting classifier of the scanner or,
    preliminary, by the newest one, and the labels people gave.
    """
    counts = slides.counts(session, session.get_one(Project, slide.project_id), slide)
    refused = session.scalar(select(func.sum(Upload.refused)).where(Upload.slide_id == slide.id))
    differential = _differential(session, slide) if counts.cells else None
    return SlideResult(
        **slide_item(slide).model_dump(),
        states=_states(session, slide),
        counts=SlideCounts(
            cells=counts.cells, labelled=counts.labelled, embedded=counts.embedded, refused=int(refused or 0)
        ),
        differential=differential,
    )


def _differential(session: Session, slide: Slide) -> Differential | None:
    report = queries.newest(session, slide)
    content = queries.report_of(session, report, with_cells=False)
    if content is None:
        return None
    made = content.made
    return Differential(
        report_id=report.id,
        version=report.version,
        state=queries.state_of(report, queries.signatures(session, report)),
        preliminary=made.preliminary,
        classifier=ClassifierVersion(
            id=made.classifier_id,
            version=made.classifier_version,
            state=made.classifier_state,
            encoder_sha256=made.encoder_sha256,
        ),
        cells=content.counted.leukocytes,
        unclassified=content.counted.unclassified,
        unscored=content.counted.unscored,
        classes=[_share(row) for row in content.rows if len(row.members) == 1],
        sums=[_share(row) for row in content.rows if len(row.members) > 1],
        beside=list(content.beside),
        flags=list(content.flags),
    )


def _share(row: Row) -> ClassShare:
    return ClassShare.model_validate({**row.model_dump(), "class": row.code})


def _states(session: Session, slide: Slide) -> list[StateSince]:
    found = slides.states(session, slide)
    return [
        StateSince.model_validate({"state": each.state, "at": each.at, "reason": stored(each.reason)}) for each in found
    ]


@router.get("/slides/{slide_id}/reports", summary="List the versions of a report")
def index(slide: ViewableSlide, session: SessionDep, paging: PagingQuery) -> Page[ReportItem]:
    """List the versions of the report of a slide, newest first. Signed ones never change."""
    query = select(Report.id, Report).where(Report.slide_id == slide.id)
    rows, next_cursor = rows_of_page(session, query, Report.id, paging, descending=True)
    return Page(items=[_item(session, row.Report) for row in rows], next_cursor=next_cursor)


@router.get("/reports/{report_id}", summary="Read a version of a report")
def read(report: ViewableReport, session: SessionDep) -> ReportResult:
    """Return a version of a report with all its cells: what was signed or, of an open one, what holds now."""
    return ReportResult(**_item(session, report).model_dump(), content=queries.report_of(session, report))


def _item(session: Session, report: Report) -> ReportItem:
    signed = queries.signatures(session, report)
    return ReportItem(
        id=report.id,
        slide_id=report.slide_id,
        version=report.version,
        state=queries.state_of(report, signed),
        reason=report.reason,
        sha256=report.sha256,
        signatures=signed,
        created_at=report.created_at,
    )
