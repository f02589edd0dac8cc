"""A scanner that is new to a project, through pages and REST: validation cells stay out of every fit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select

from app import job_queries, jobs
from app.cells.index import columns_of
from app.db import now, reading, transaction
from app.models import Adaptation, Cell, Classifier, Encoder, Pretraining, Project, Scanner, Slide
from app.predictions.scores import newest_classifier
from app.storage import get_storage
from tests import factories
from tests.browsing import error_of
from tests.fakes import FakeEncoder
from tests.pages import grid_of
from workers import runner
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
    assert f"by version {reporting.version}." in step(client, scanner, "decision")


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


def step(client: TestClient, scanner: Scanner, name: str) -> str:
    """The text of a step's page."""
    return " ".join(client.get(f"/scanners/{scanner.id}/adaptation/{name}").raise_for_status().text.split())


def stands_at(client: TestClient, scanner: Scanner) -> str:
    """The step on which whoever comes back goes on."""
    answer = client.get(f"/scanners/{scanner.id}/adaptation", follow_redirects=False)
    return answer.headers["location"].removeprefix(f"/scanners/{scanner.id}/adaptation/")


def heads(scanner: Scanner) -> set[str]:
    """Where the heads of the newest comparison are stored."""
    with reading() as session:
        found = session.scalars(select(Adaptation.comparison).where(Adaptation.scanner_id == scanner.id)).one()
    compared = found and found["comparison"]
    return {f"classifiers/{each['artifact']}" for each in compared["candidates"]} if compared else set()


def compare_again(manager: TestClient, scanner: Scanner, back_to: str, work: Callable[[], int]) -> None:
    """Compare; heads of the comparison before that nobody decided for are gone."""
    url, before = f"/scanners/{scanner.id}/adaptation", heads(scanner)
    answer = manager.post(f"{url}/comparisons", data={"step": back_to}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{url}/{back_to}")
    work()
    assert {key for key in before | heads(scanner) if get_storage().exists(key)} == heads(scanner)


def spot_check(manager: TestClient, project: Project, scanner: Scanner, cells: Cells) -> set[int]:
    """Label all validation cells, as many at a time as one is given; returns them."""
    url = f"/scanners/{scanner.id}/adaptation"
    labelled = set[int]()
    for count in (50, 10):
        address = manager.post(f"{url}/validation", follow_redirects=False).headers["location"]
        assert f'href="{url}"' in manager.get(address).text
        grid = grid_of(manager, address)
        assert {tile["predicted"] for tile in grid.tiles} == {""}
        given = {int(tile["cell-id"]) for tile in grid.tiles}
        assert len(given) == count
        assert given != {*sorted(set_aside(scanner))[:count]}  # whoever stops here has labelled a random part
        label(manager, project, {cell: cells[cell] for cell in given})
        labelled |= given
        assert stands_at(manager, scanner) == "labels"
    assert "Every validation cell has its label" in manager.post(f"{url}/validation").text
    return labelled


def begin(manager: TestClient, project: Project, scanner: Scanner, cells: Cells, work: Callable[[], int]) -> set[int]:
    """Walk through the first three steps; returns the validation cells."""
    label_another_scanner(manager, project, work)
    url = f"/scanners/{scanner.id}/adaptation"
    assert stands_at(manager, scanner) == "cells"
    assert "Set cells aside" in step(manager, scanner, "cells")
    assert "once validation cells are set aside" in step(manager, scanner, "decision")
    assert manager.get(f"{url}/nonsense").status_code == 404
    assert "are needed" in error_of(manager.post(url, data={"cells": "150"}), "cells")
    assert error_of(manager.post(url, data={"cells": "3"}), "cells")
    assert manager.post(url, data={"cells": "60"}, follow_redirects=False).headers["location"] == f"{url}/shift"
    assert manager.post(url, data={"cells": "50"}).status_code == 409
    work()
    page = step(manager, scanner, "shift")
    assert all(text in page for text in ("AUROC", "believes to have"))
    assert "no comparison to decide on" in step(manager, scanner, "decision")

    assert stands_at(manager, scanner) == "spot-check"
    frozen = spot_check(manager, project, scanner, cells)
    compare_again(manager, scanner, "spot-check", work)
    page = step(manager, scanner, "spot-check")
    assert all(text in page for text in ("of 60", "Direct transfer, class by class"))
    assert "Judge by" not in page
    return frozen


def test_a_scanner_is_measured_validated_and_compared(
    manager: TestClient, project: Project, scanner: Scanner, cells: Cells, work: Callable[[], int]
) -> None:
    frozen = begin(manager, project, scanner, cells, work)
    url = f"/scanners/{scanner.id}/adaptation"
    served = grid_of(manager, manager.post(f"{url}/labels", follow_redirects=False).headers["location"])
    assert {tile["cell-id"] for tile in served.tiles}.isdisjoint(map(str, frozen))
    assert {int(tile["cell-id"]) for tile in served.tiles} <= cells.keys()
    for some in (40, 60):
        label(manager, project, {cell: look for cell, look in list(cells.items())[:some] if cell not in frozen})
        assert stands_at(manager, scanner) != "decision"
        compare_again(manager, scanner, "labels", work)
    page = step(manager, scanner, "labels")
    assert all(text in page for text in ("What labels have brought so far", "Learning curve", "The last"))
    page = step(manager, scanner, "comparison")
    said = ("On 60 validation cells", "Labels of all scanners, aligned", "Recommended", "expect a little less")
    assert all(text in page for text in said)
    assert_a_candidate_is_decided_on(manager, scanner, work)
    assert "Validation cells of a scanner set aside" in manager.get(f"/projects/{project.id}/audit").text


def train_further(project: Project, scanner: Scanner) -> Encoder:
    """An encoder that was trained further on cells of a scanner, as a run leaves it."""
    with transaction() as session:
        start = session.get_one(Project, project.id).encoder_id
        encoder = Encoder(sha256="f" * 64, name="further", dim=FakeEncoder.dim, card=FakeEncoder.card, created_at=now())
        session.add(encoder)
        session.flush()
        session.add(
            Pretraining(
                project_id=project.id, scanner_id=scanner.id, start_encoder_id=start, encoder_id=encoder.id,
                epochs=1, most_images=300, state="done", created_at=now(), ended_at=now(),
            )
        )  # fmt: skip
    return encoder


def label_others_while_a_comparison_waits(
    manager: TestClient, project: Project, scanner: Scanner, work: Callable[[], int]
) -> None:
    """Cells of the other scanner get a label while the encoder trained further has yet to see those that had one."""
    manager.post(f"/scanners/{scanner.id}/adaptation/comparisons").raise_for_status()
    left = 0
    while not left:
        assert runner.run_next("fit", "test")
        with reading() as session:
            left = job_queries.remaining_images(session, project.id)
    with reading() as session:
        free = (Cell.project_id == project.id) & (Cell.scanner_id != scanner.id) & Cell.class_id.is_(None)
        others = session.scalars(select(Cell.id).where(free)).all()
    assert others
    label(manager, project, dict.fromkeys(others, "NGS"))
    work()


def test_an_encoder_that_was_trained_further_is_a_candidate_and_may_report(
    manager: TestClient,
    project: Project,
    scanner: Scanner,
    cells: Cells,
    work: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    label_another_scanner(manager, project, work)
    manager.post(f"/scanners/{scanner.id}/adaptation", data={"cells": "50"}).raise_for_status()
    label(manager, project, {cell: cells[cell] for cell in set_aside(scanner)})
    label(manager, project, dict(list(cells.items())[:40]))
    monkeypatch.setattr(jobs, "PAUSE", timedelta())
    name = "by the encoder trained further"
    compare_again(manager, scanner, "comparison", work)
    before = step(manager, scanner, "comparison")
    encoder = train_further(project, scanner)
    label_others_while_a_comparison_waits(manager, project, scanner, work)
    after = step(manager, scanner, "comparison")
    assert ["Start training" in page for page in (before, after)] == [True, False]
    assert [name in page for page in (before, after)] == [False, True]
    assert decide(manager, f"/scanners/{scanner.id}/adaptation", candidate="both, trained further").status_code == 303
    work()
    with reading() as session:
        reporting = session.scalars(select(Classifier).where(Classifier.state == "reporting")).one()
        slides = session.scalars(select(Slide).where(Slide.scanner_id == scanner.id)).all()
    assert (reporting.encoder_id, reporting.cells_scored >= len(cells)) == (encoder.id, True)
    manager.post(f"/slides/{slides[0].id}/complete")
    work()
    report = manager.get(f"/slides/{slides[0].id}/report/json").json()["content"]
    assert report["made"]["encoder_sha256"] == encoder.sha256
    # What it confuses is known from the validation cells, so shares are corrected for it.
    assert (reporting.metrics or {})["held_out"] == 50
    assert all(row["corrected"] for row in report["rows"] if row["code"] in {"NGS", "LYT"})


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
