"""A version is kept, activated with a reason, rolled back; and it gives the same numbers for ever."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.models import Project, User
from tests import factories
from tests.rest.conftest import api  # noqa: F401  # a fixture

AGAIN = """
import hashlib
from safetensors.numpy import save
from sqlalchemy import select
from app.config import get_settings
from app.db import connect, reading
from app.models import Classifier
from app.storage import get_storage
from workers.classifiers import score_table
from workers.material import collect
from workers.ml.artifacts import load_head

connect(get_settings().resolved_database_url)
with reading() as session:
    classifier = session.scalars(select(Classifier)).one()
    material = collect(session, classifier.project_id)
head, card = load_head(get_storage().read(f"classifiers/{classifier.artifact}"))
assert card["revision"] == classifier.revision
table = score_table(head, material.cell_ids, material.X_all)
assert hashlib.sha256(save(table)).hexdigest() == classifier.scores
"""


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project()


@pytest.fixture
def manager(api: Callable[[], TestClient]) -> TestClient:  # noqa: F811
    return api()


@pytest.fixture
def fit(project: Project, manager: TestClient, work: Callable[[], int]) -> Callable[[], None]:
    """Call it to get a new version."""
    codes = ["NGS"] * 4 + ["LYT"] * 4
    cells = factories.make_cells(factories.make_slide(project), codes)
    items = [{"cell_id": cell, "class": code} for cell, code in zip(cells, codes, strict=True)]

    def new_version() -> None:
        manager.post(f"/projects/{project.id}/annotations", json={"items": items})
        work()

    return new_version


def test_a_version_gives_the_same_numbers_in_another_process(fit: Callable[[], None]) -> None:
    fit()
    subprocess.run([sys.executable, "-W", "error", "-c", AGAIN], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_a_manager_keeps_activates_and_rolls_back_in_the_browser(
    project: Project, manager: TestClient, fit: Callable[[], None], sign_in: Callable[[User], TestClient]
) -> None:
    scanner = factories.make_scanner(project, name="Old scanner")
    browser = sign_in(factories.make_user("manager", name="Dr Meyer"))
    fit()
    fit()
    page = f"/projects/{project.id}/classifiers"
    assert "Go back to" not in browser.get(page).text
    assert browser.post(f"/scanners/{scanner.id}/rollback").status_code == 409
    assert browser.post(f"{page}/1/keep", data={"name": ""}).status_code == 422
    assert "May evaluation" in browser.post(f"{page}/1/keep", data={"name": "May evaluation"}).text
    for _ in range(3):
        fit()
    items = manager.get(f"/projects/{project.id}/classifiers").json()["items"]
    assert [(each["state"], each["has_scores"]) for each in items[:2]] == [("candidate", True), ("assist", False)]
    assert items[0]["revision"].startswith("0.")
    gone = browser.post(f"{page}/2/keep", data={"name": "too late"})
    assert (gone.status_code, "no longer kept" in gone.text) == (409, True)
    no_reason = browser.post(f"{page}/1/activate", data={"scanner_id": scanner.id, "reason": " "})
    assert (no_reason.status_code, "Please fill this in." in no_reason.text) == (422, True)
    for version, reason in ((1, "better on blasts"), (5, "more labels")):
        shown = browser.post(f"{page}/{version}/activate", data={"scanner_id": scanner.id, "reason": reason}).text
        assert reason in shown
        assert "Dr Meyer" in shown
    assert "Go back to version 1" in browser.get(page).text
    assert manager.post(f"/scanners/{scanner.id}/rollback").json()["version"] == 1
    states = [each["state"] for each in manager.get(f"/projects/{project.id}/classifiers").json()["items"]]
    assert (states[0], states[4]) == ("reporting", "retired")
