"""REST endpoints of the scanners."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.accounts.access import Manager
from app.db import SessionDep
from app.models import Scanner
from app.projects.access import ManagedProject, ViewableProject
from app.rest import Page, PagingQuery, rest_router, rows_of_page
from app.scanners import service
from app.scanners.forms import ScannerForm

router = rest_router("scanners")


class NewScanner(ScannerForm):
    """A scanner to add: device, stain and objective in its name."""

    model_config = ConfigDict(extra="forbid")


class ScannerItem(BaseModel):
    """One imaging domain."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    project_id: int
    name: str
    um_per_px: float | None = Field(description="Micrometres per pixel, if known.")
    created_at: datetime


def scanner_item(scanner: Scanner) -> ScannerItem:
    """Return a scanner as lists show it."""
    return ScannerItem.model_validate(scanner)


@router.post("/projects/{project_id}/scanners", status_code=201, summary="Add a scanner")
def create(project: ManagedProject, form: NewScanner, manager: Manager, session: SessionDep) -> ScannerItem:
    """Add a scanner to a project; managers only."""
    return scanner_item(service.add(session, project, form, manager))


@router.get("/projects/{project_id}/scanners", summary="List scanners")
def index(project: ViewableProject, session: SessionDep, paging: PagingQuery) -> Page[ScannerItem]:
    """List the scanners of a project."""
    query = select(Scanner.id, Scanner).where(Scanner.project_id == project.id)
    rows, next_cursor = rows_of_page(session, query, Scanner.id, paging)
    return Page(items=[scanner_item(row.Scanner) for row in rows], next_cursor=next_cursor)
