"""How a project counts and signs, from its first day: what holds as long as no manager has set anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.errors import Invalid
from app.events import publish
from app.forms import parse, reasons_of, refusal
from app.language import N_, _
from app.models import CellClass, Project, Reporting, User
from app.models.audit import record
from app.models.project import lock
from app.projects.queries import classes
from app.reports import loinc
from app.reports.differential import Kind, lines_of
from app.reports.forms import Range, ReportingForm, Rule

NO_LEUKOCYTES = ("PLA", "KSC", "ART", "NIF")
"""Platelets, smudge cells, artefacts and cells nobody can identify are in no differential."""
ERYTHROBLASTS = ("EBO", "PEB")
"""In blood they are given per 100 leukocytes; in marrow, which tells proerythroblasts apart, they are in the 100 %."""
BLASTS = ("BLA", "MYO", "MOB")
FEWEST_CELLS = 100
MOST_RULES = 30


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
        loinc={},
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


@dataclass(frozen=True)
class Subject:
    """What a range or a rule can be about: a class, or with `total` a class with its subclasses."""

    subject: str
    code: str
    name: str
    level: int
    counted: bool
    total: bool
    loinc: str  # that of the standard class, empty where LOINC has none


def subjects_of(kinds: Sequence[Kind]) -> list[Subject]:
    """Return the classes in the order of the differential with their sums, then those that are no part of it."""
    known = [kind.code for kind in kinds]

    def standard(codes: Sequence[str]) -> str:
        found = loinc.code_of(codes, known)
        return found[0] if found else ""

    counted = [
        Subject(
            line.subject,
            " + ".join(known[at] for at in line.members),
            kinds[line.members[0]].name if len(line.members) == 1 else "",
            line.level,
            counted=True,
            total=len(line.members) > 1,
            loinc=standard([known[at] for at in line.members]),
        )
        for line in lines_of(kinds)
    ]
    beside = [
        Subject(str(kind.id), kind.code, kind.name, 0, counted=False, total=False, loinc=standard([kind.code]))
        for kind in kinds
        if not kind.counted
    ]
    return counted + beside


def change(session: Session, project: Project, values: Mapping[str, Any], by: User) -> None:
    """Set how a project counts and signs, from the fields of its page. Raises Invalid that names every wrong field."""
    lock(session, project.id)
    form = parse(ReportingForm, values)
    reporting = reporting_of(session, project)
    kinds = kinds_of(session, project, reporting)
    subjects = subjects_of(kinds)
    new = {
        "left_out": [kind.id for kind in kinds if f"counted-{kind.id}" not in values],
        "ranges": _ranges(values, subjects),
        "rules": _rules(values, subjects),
        "loinc": _loinc(values, subjects),
        "cells": int(form.cells),
        "within": form.within,
        "reject_below": form.reject_percent / 100,
        "signer": form.signer,
        "second_signature": form.second_signature,
    }
    changes = {
        name: [getattr(reporting, name), value] for name, value in new.items() if getattr(reporting, name) != value
    }
    if changes:
        codes = {str(kind.id): kind.code for kind in kinds}
        record(session, "reporting.changed", by=by.id, project_id=project.id, changes=_in_words(changes, codes))
        for name, value in new.items():
            setattr(reporting, name, value)
        session.add(reporting)
        publish(session, project.id, "reporting", {})


def _ranges(values: Mapping[str, Any], subjects: Sequence[Subject]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    for each in subjects:
        try:
            limits = parse(Range, {end: values.get(f"{end}-{each.subject}", "") for end in ("low", "high")})
        except Invalid as error:
            reasons[f"low-{each.subject}"] = next(iter(reasons_of(error).values()))
            continue
        if limits.low is not None and limits.high is not None:
            found[each.subject] = [limits.low, limits.high]
    if reasons:
        raise refusal(reasons)
    return found


def _loinc(values: Mapping[str, Any], subjects: Sequence[Subject]) -> dict[str, str]:
    given = {each.subject: str(values.get(f"loinc-{each.subject}", "")).strip() for each in subjects}
    found = {subject: code for subject, code in given.items() if code}
    if wrong := [subject for subject, code in found.items() if not loinc.is_code(code)]:
        raise refusal({f"loinc-{each}": _("This is no code of LOINC: its check digit does not fit.") for each in wrong})
    return found


def _rules(values: Mapping[str, Any], subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    known = {each.subject for each in subjects} | {"cells", "unclassified"}
    found: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for at in range(MOST_RULES):
        row = {name: values.get(f"{name}-{at}", "") for name in Rule.model_fields}
        if not (row["text"] or row["threshold"]):
            continue
        try:
            rule = parse(Rule, row)
            if rule.subject not in known:
                raise refusal({"subject": _("Choose what the rule is about.")})
            found.append(rule.model_dump())
        except Invalid as error:
            reasons |= {f"{name}-{at}": reason for name, reason in reasons_of(error).items()}
    if reasons:
        raise refusal(reasons)
    return found


def _in_words(changes: dict[str, list[Any]], codes: Mapping[str, str]) -> dict[str, list[Any]]:
    """Name classes by their codes, as the audit trail outlives them."""

    def named(subject: Any) -> str:
        key = str(subject)
        return codes.get(key.removesuffix("+"), key) + ("+" if key.endswith("+") else "")

    words: dict[str, Callable[[Any], Any]] = {
        "left_out": lambda ids: [named(each) for each in ids],
        "ranges": lambda ranges: [f"{named(each)} {low:g} to {high:g} %" for each, (low, high) in ranges.items()],
        "loinc": lambda codes: [f"{named(each)} {code}" for each, code in codes.items()],
        "rules": lambda rules: [
            f"{named(rule['subject'])} {rule['comparison']} {rule['threshold']:g}: {rule['text']}" for rule in rules
        ],
    }
    return {name: [words.get(name, str)(value) for value in pair] for name, pair in changes.items()}
