"""How a project counts and signs, from its first day: what holds as long as no manager has set anything."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.language import N_
from app.models import CellClass, Project, Reporting
from app.projects.queries import classes
from app.reports.differential import Kind

NO_LEUKOCYTES = ("PLA", "KSC", "ART", "NIF")
"""Platelets, smudge cells, artefacts and cells nobody can identify are in no differential."""
ERYTHROBLASTS = ("EBO", "PEB")
"""In blood they are given per 100 leukocytes; in marrow, which tells proerythroblasts apart, they are in the 100 %."""
BLASTS = ("BLA", "MYO", "MOB")
FEWEST_CELLS = 100


def reporting_of(session: Session, project: Project) -> Reporting:
    """Return the settings of a project, those of a new one where none were made."""
    return session.get(Reporting, project.id) or _default(project, classes(session, project))


def _default(project: Project, known: Sequence[CellClass]) -> Reporting:
    codes = {each.code for each in known}
    left_out = NO_LEUKOCYTES if "PEB" in codes else (*NO_LEUKOCYTES, *ERYTHROBLASTS)
    rules = [{"subject": "cells", "comparison": "<", "threshold": FEWEST_CELLS, "text": N_("Fewer than 100 cells")}]
    rules += [
        {"subject": str(each.id), "comparison": ">=", "threshold": 1, "text": N_("Blasts")}
        for each in known
        if each.code in BLASTS
    ]
    return Reporting(
        project_id=project.id,
        left_out=[each.id for each in known if each.code in left_out],
        ranges={},
        rules=rules,
        cells=0,
        within=5.0,
        reject_below=0.5,
        signer="reviewer",
        second_signature=False,
    )


def kinds_of(session: Session, project: Project, reporting: Reporting) -> list[Kind]:
    """Return the classes of a project as the differential knows them, in their order."""
    left_out = set(reporting.left_out)
    return [
        Kind(each.id, each.code, each.name, each.parent_id, each.id not in left_out)
        for each in classes(session, project)
    ]
