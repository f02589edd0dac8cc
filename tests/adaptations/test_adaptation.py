"""A scanner that is new to a project, through pages and REST: validation cells stay out of every fit."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select

from app.cells.index import columns_of
from app.db import reading
from app.models import Adaptation, Classifier, Project, Scanner, Slide
from app.predictions.scores import newest_classifier
from tests import factories
from tests.browsing import error_of
from tests.pages import grid_of
from workers.material import collect

SignIn = Callable[..., TestClient]
Cells = dict[int, str]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT"])


@pytest.fixture
def scanner(project: Project) -> Scanner:
    return factories.make_scanner(project, name="New")


@pytest.fixture
def cells(project: Project, scanner: Scanner, work: Callable[[], int]) -> Cells:
    """Cells of the new scanner and what they look like; of another one labelled ones are there as well."""
    looks = ["NGS", "LYT"] * 105
    ids = factories.make_cells(factories.make_slide(project, scanner=scanner), looks)
    work()
    return dict(zip(ids, looks, strict=True))


@pytest.fixture
def manager(client: TestClient, sign_in: SignIn) -> TestClient:
    return sign_in(factories.make_user("manager"))


def label(client: TestClient, project: Project, classes: Cells, **more: Any) -> None:
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    body = {"action": str(uuid4()), "items": items, **more}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def label_another_scanner(client: TestClient, project: Project, work: Callable[[], int]) -> None:
    looks = ["NGS", "LYT"] * 6
    ids = factories.make_cells(factories.make_slide(project), looks * 2)
    label(client, project, dict(zip(ids, looks, strict=False)))
    work()


def set_aside(scanner: Scanner) -> list[int]:
    with reading() as session:
        return session.scalars(select(Adaptation).where(Adaptation.scanner_id == scanner.id)).one().validation.tolist()


def decide(client: TestClient, url: str, **other: str) -> Response:
    form = {"candidate": "new", "reason": "It is better", "password": factories.PASSWORD, **other}
    return client.post(f"{url}/decision", data=form, follow_redirects=False)


def assert_reports(client: TestClient, scanner: Scanner, candidate: str, versions: int) -> None:
    """The candidate makes the reports of its scanner, and what helps with labelling stays as it was."""
    with reading() as session:
        reporting = session.scalars(select(Classifier).where(Classifier.state == "reporting")).one()
        made = session.scalars(select(Classifier).where(Classifier.adapted != "")).all()
        slides = session.scalars(select(Slide).where(Slide.scanner_id == scanner.id)).all()
        assist = newest_classifier(session, scanner.project_id)
    assert (reporting.scanner_id, reporting.adapted, len(made)) == (scanner.id, candidate, versions)
    assert assist
    assert assist.adapted == ""
    client.post(f"/slides/{slides[0].id}/complete")
    assert f"by version {reporting.version}." in client.get(f"/scanners/{scanner.id}/adaptation").text


def assert_a_candidate_is_decided_on(manager: TestClient, scanner: Scanner, work: Callable[[], int]) -> None:
    url = f"/scanners/{scanner.id}/adaptation"
    assert decide(manager, url, candidate="nonsense").status_code == 422
    assert error_of(decide(manager, url, password="wrong"), "password")
    assert error_of(decide(manager, url, reason=""), "reason")
    assert manager.get(f"{url}/report.pdf").status_code == 409
    for version, candidate in enumerate(("new", "both, aligned", "new"), 1):
        assert decide(manager, url, candidate=candidate).status_code == 303
        assert decide(manager, url).status_code == 409  # one after the other
        work()
        assert_reports(manager, scanner, candidate, min(version, 2))
    assert manager.get(f"{url}/report.pdf").content == manager.get(f"{url}/report.pdf").content
    assert manager.get(f"{url}/report.pdf").content.startswith(b"%PDF")


def compare_again(manager: TestClient, url: str, work: Callable[[], int]) -> str:
    manager.post(f"{url}/comparisons").raise_for_status()
    work()
    return " ".join(manager.get(url).text.split())


def test_a_scanner_is_measured_validated_and_compared(
    manager: TestClient, project: Project, scanner: Scanner, cells: Cells, work: Callable[[], int]
) -> None:
    label_another_scanner(manager, project, work)
    url = f"/scanners/{scanner.id}/adaptation"
    assert "Set cells aside" in manager.get(url).raise_for_status().text
    assert "are needed" in error_of(manager.post(url, data={"cells": "150"}), "cells")
    assert error_of(manager.post(url, data={"cells": "3"}), "cells")
    assert manager.post(url, data={"cells": "50"}, follow_redirects=False).status_code == 303
    assert manager.post(url, data={"cells": "50"}).status_code == 409
    work()
    page = manager.get(url).text
    assert all(text in page for text in ("AUROC", "believes to have"))
    assert "Recommended" not in page

    grid = grid_of(manager, manager.post(f"{url}/validation", follow_redirects=False).headers["location"])
    frozen = {int(tile["cell-id"]) for tile in grid.tiles}
    assert len(frozen) == 50
    assert {tile["predicted"] for tile in grid.tiles} == {""}
    label(manager, project, {cell: cells[cell] for cell in frozen})
    assert manager.post(f"{url}/validation").status_code == 409
    for some in (40, 60):
        label(manager, project, {cell: look for cell, look in list(cells.items())[:some] if cell not in frozen})
        page = compare_again(manager, url, work)
    said = (
        "What labels have brought so far",
        "On 50 validation cells",
        "Labels of all scanners, aligned",
        "Recommended",
        "expect a little less",
    )
    assert all(text in page for text in said)
    assert_a_candidate_is_decided_on(manager, scanner, work)
    assert "Validation cells of a scanner set aside" in manager.get(f"/projects/{project.id}/audit").text


def test_validation_cells_never_reach_a_fit_nor_what_is_to_be_labelled(
    manager: TestClient, project: Project, scanner: Scanner, cells: Cells, work: Callable[[], int]
) -> None:
    label_another_scanner(manager, project, work)
    manager.post(f"/scanners/{scanner.id}/adaptation", data={"cells": "60"}).raise_for_status()
    work()
    frozen = set(set_aside(scanner))
    copies = factories.copy_cells(sorted(frozen)[:5], factories.make_slide(project))
    label(manager, project, {cell: cells[cell] for cell in frozen} | dict.fromkeys(copies, "NGS"))
    others = {cell: look for cell, look in cells.items() if cell not in frozen}
    label(manager, project, dict(list(others.items())[:20]))
    work()
    with reading() as session:
        material = collect(session, project.id)
        columns = columns_of(session, project.id)
    kept = frozen | set(copies)
    assert {*columns.cell_ids[columns.frozen].tolist()} == kept
    assert not kept & {*material.labelled.tolist()}
    assert not kept & {*material.cell_ids[material.free].tolist()}
    assert {*list(others)[:20]} <= {*material.labelled.tolist()}
    served = manager.post(f"/projects/{project.id}/batches", json={}).json()["url"]
    assert not kept & {int(tile["cell-id"]) for tile in grid_of(manager, served).tiles}
    assert manager.get(f"/projects/{project.id}/classifiers").status_code == 200
