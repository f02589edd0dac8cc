"""REST endpoints of watching."""

import math
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.models import Alarm, Scanner, WatchReference
from app.reports.service import reporting_classifier
from app.rest import rest_router
from app.scanners.access import ManagedScanner, ViewableScanner
from app.slides.access import ViewableSlide
from app.watching import controls, queries, service
from app.watching.access import EditableAlarm
from app.watching.forms import NewControl, NewReference, Settlement

router = rest_router("watching")


class Point(BaseModel):
    """A figure of a day."""

    value: float | None = Field(description="Null where a day has none: nobody audited a cell of it.")
    z: float | None = Field(description="Deviations from the reference; null as long as that has too few days.")
    out: str = Field(description='By which rule it is out of limits: "sudden", "slow", or "".')


class DayItem(BaseModel):
    """What a scanner showed on a day."""

    day: date
    slides: int
    cells: int
    mix: dict[str, int] = Field(description="Predictions by class code.")
    figures: dict[str, Point] = Field(description="rejected, novelty, shift, mix, accuracy; docs/watching.md.")


class AlarmItem(BaseModel):
    """That a figure left its limits."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    day: date
    chart: str
    rule: str
    created_at: datetime
    note: str
    settled_at: datetime | None


class ControlItem(BaseModel):
    """A slide scanned again, beside its first run."""

    slide_id: int
    repeats_id: int
    counts: dict[str, tuple[int, int]] = Field(description='Cells, first and again, by class code; "" is unclassified.')
    p_value: float | None = Field(description="Of equal shares (chi-squared); null as long as a report is missing.")
    differs: bool


class WatchingItem(BaseModel):
    """A scanner day by day; nothing but alarms before its reporting classifier has reported on a slide."""

    scanner_id: int
    classifier_id: int | None
    since: datetime | None = Field(description="From when on days are compared with each other.")
    days: list[DayItem]
    alarms: list[AlarmItem] = Field(description="The open ones first, then the newest.")
    controls: list[ControlItem] = Field(description="Control slides that were scanned again, the newest first.")


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _days(session: Session, reference: WatchReference) -> list[DayItem]:
    days = queries.judged(session, reference)
    charts = queries.charts(session, reference, days)
    return [
        DayItem(
            day=each.day,
            slides=each.slides,
            cells=each.cells,
            mix=each.mix,
            figures={
                name: Point(value=_known(chart.values[at]), z=_known(chart.z[at]), out=chart.out[at])
                for name, chart in charts.items()
            },
        )
        for at, each in enumerate(days)
    ]


def _alarm(alarm: Alarm) -> AlarmItem:
    return AlarmItem.model_validate(alarm)


def _control(found: controls.Compared) -> ControlItem:
    return ControlItem(
        slide_id=found.slide.id,
        repeats_id=found.repeats.id,
        counts=found.counts,
        p_value=found.p_value,
        differs=found.differs,
    )


def _item(session: Session, scanner: Scanner) -> WatchingItem:
    reference = queries.reference(session, scanner, reporting_classifier(session, scanner.id))
    return WatchingItem(
        scanner_id=scanner.id,
        classifier_id=reference.classifier_id if reference else None,
        since=reference.since if reference else None,
        days=_days(session, reference) if reference else [],
        alarms=[_alarm(alarm) for alarm in queries.alarms(session, scanner)],
        controls=[_control(each) for each in controls.compared(session, scanner)],
    )


@router.get("/scanners/{scanner_id}/watching", summary="Read the days of a scanner")
def read(scanner: ViewableScanner, session: SessionDep) -> WatchingItem:
    """Say what a scanner showed day by day, whether it is within limits, and its alarms."""
    return _item(session, scanner)


@router.post("/scanners/{scanner_id}/watching", status_code=201, summary="Set a new reference")
def begin_anew(scanner: ManagedScanner, form: NewReference, user: CurrentUser, session: SessionDep) -> WatchingItem:
    """Compare a scanner with days from now on, after a change that was meant; managers only."""
    service.begin_anew(session, scanner, form, user)
    return _item(session, scanner)


@router.post("/alarms/{alarm_id}/settlement", summary="Settle an alarm")
def settle(alarm: EditableAlarm, form: Settlement, user: CurrentUser, session: SessionDep) -> AlarmItem:
    """Close an alarm with what was found or done."""
    service.settle(session, alarm, form, user)
    return _alarm(alarm)


class RunItem(BaseModel):
    """A further run of a slide, to which its images are sent as to any slide."""

    slide_id: int
    repeats_id: int


@router.post("/slides/{slide_id}/runs", status_code=201, summary="Scan a control slide again")
def begin_control(slide: ViewableSlide, form: NewControl, user: CurrentUser, session: SessionDep) -> RunItem:
    """Make a slide that is a further run of this one; its cells are in no figure of a day."""
    return RunItem(slide_id=controls.add(session, slide, form.accession, user).id, repeats_id=slide.id)
