"""Classes as another scheme has them: saved in versions, exported, and what a classifier is worth under them."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import now, transaction
from app.main import app
from app.mappings.rollup import rolled
from app.models import CellClass, Classifier, Project, User
from tests import factories
from tests.browsing import submit

CODES = ["NGS", "NGB", "LYT", "ART"]
CONFUSION = [[40, 8, 1, 1], [5, 15, 0, 0], [0, 2, 28, 0], [0, 0, 1, 9]]
METRICS = {"classes": CODES, "confusion": CONFUSION, "balanced_accuracy": 0.8458}
TARGETS = {"NGS": "Neutrophil", "NGB": "Neutrophil", "LYT": "Lymphocyte"}


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project(CODES)


def rest(person: User) -> TestClient:
    token = {"Authorization": f"Bearer {factories.make_token(person)}"}
    return TestClient(app, base_url="http://testserver/api/v1", headers=token)


def evaluated(project: Project, version: int, metrics: dict[str, Any]) -> int:
    """A classifier with these metrics; returns its id."""
    with transaction() as session:
        classifier = Classifier(
            project_id=project.id, encoder_id=project.encoder_id, version=version, state="assist", head="ours",
            classes=metrics["classes"], labels=110, labels_sha256="", newest_annotation_id=0, cells_scored=0,
            predicted={}, metrics=metrics, artifact="", scores=None, fit_seconds=0, created_at=now(),
        )  # fmt: skip
        session.add(classifier)
    return classifier.id


def test_classes_with_one_counterpart_are_put_together() -> None:
    found = rolled(METRICS, TARGETS)
    assert [(each.name, each.codes, each.labels, each.recall) for each in found.targets] == [
        ("Neutrophil", ("NGS", "NGB"), 70, 68 / 70),
        ("Lymphocyte", ("LYT",), 30, 28 / 30),
    ]
    assert found.confusion == ((68, 1, 1), (2, 28, 0))
    assert found.left_out == ("ART",)
    assert found.balanced_accuracy == pytest.approx((68 / 70 + 28 / 30) / 2)
    low, high = found.targets[1].interval or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.779, 0.992)  # Clopper and Pearson for 28 of 30
    itself = rolled(METRICS, {code: code for code in CODES})
    assert itself.balanced_accuracy == pytest.approx(sum(row[at] / sum(row) for at, row in enumerate(CONFUSION)) / 4)
    assert rolled(METRICS, {}).balanced_accuracy is None


def test_a_mapping_is_saved_in_versions_and_shows_what_a_classifier_is_worth(project: Project) -> None:
    manager = rest(factories.make_user("manager"))
    path = f"/projects/{project.id}/mappings"
    made = manager.post(path, json={"name": "Acevedo", "targets": TARGETS})
    assert (made.status_code, made.json()["version"]) == (201, 1)
    first = made.headers["location"].removeprefix("/api/v1")
    assert manager.get(f"{first}/metrics").status_code == 404
    classifier = evaluated(project, 1, METRICS)
    metrics = manager.get(f"{first}/metrics").json()
    assert metrics["own_balanced_accuracy"] == 0.8458
    assert metrics["balanced_accuracy"] == pytest.approx((68 / 70 + 28 / 30) / 2)
    assert metrics["classifier_id"] == classifier

    second = manager.post(path, json={"name": "Acevedo", "targets": TARGETS | {"ART": "Artefact"}}).json()
    assert second["version"] == 2
    assert [each["version"] for each in manager.get(path).json()["items"]] == [1, 2]
    under = [manager.get(f"/mappings/{each}/metrics").json()["left_out"] for each in (made.json()["id"], second["id"])]
    assert under == [["ART"], []]
    for targets, words in (({"XYZ": "A"}, "no class XYZ"), ({"NGS": " "}, "at least one")):
        refused = manager.post(path, json={"name": "Acevedo", "targets": targets})
        assert (refused.status_code, words in refused.json()["detail"]) == (422, True)
    technician = rest(factories.make_user(member_of=project))
    assert technician.get(first).json() == made.json()
    assert technician.post(path, json={"name": "Mine", "targets": TARGETS}).status_code == 403


def test_classes_are_found_again_under_a_new_code(project: Project) -> None:
    manager = rest(factories.make_user("manager"))
    made = manager.post(f"/projects/{project.id}/mappings", json={"name": "Acevedo", "targets": TARGETS}).json()
    old = evaluated(project, 1, METRICS)
    lymphocytes = next(row["class_id"] for row in made["rows"] if row["code"] == "LYT")
    manager.patch(f"/projects/{project.id}/classes/{lymphocytes}", json={"code": "LY"}).raise_for_status()
    new = evaluated(project, 2, METRICS | {"classes": ["NGS", "NGB", "LY", "ART"]})
    for classifier in (old, new):
        metrics = manager.get(f"/mappings/{made['id']}/metrics", params={"classifier_id": classifier}).json()
        assert [target["labels"] for target in metrics["targets"]] == [70, 30]
    assert manager.get(f"/mappings/{made['id']}").json() == made  # as it was saved


def test_people_map_classes_on_a_page(
    project: Project, client: TestClient, sign_in: Callable[[User], TestClient]
) -> None:
    evaluated(project, 1, METRICS)
    browser = sign_in(factories.make_user("manager"))
    page = f"/projects/{project.id}/mappings"
    typed = {f"target-{code}": target for code, target in TARGETS.items()}
    empty = submit(browser, page, name="Acevedo")
    assert (empty.status_code, "at least one class" in empty.text) == (422, True)
    saved = submit(browser, page, name="Acevedo", **typed)
    shown = browser.get(saved.headers["location"]).text
    assert "Neutrophil" in shown
    assert re.findall(r'stat-value">(\d+)', shown) == ["95", "85"]  # under the mapping, under the project's own classes
    table = browser.get(f"{saved.headers['location']}/mapping.csv").text.splitlines()
    assert table[:3] == ["code,name,target", "NGS,Class NGS,Neutrophil", "NGB,Class NGB,Neutrophil"]
    assert browser.get(f"{saved.headers['location']}/mapping.json").json()["version"] == 1
    again = submit(browser, saved.headers["location"], page, name="Acevedo", **typed, **{"target-ART": "Artefact"})
    assert "Version 2" in browser.get(again.headers["location"]).text
    assert "Acevedo" in browser.get(page).text


def test_labels_are_read_in_another_scheme_and_taken_in_by_a_project_that_has_it(
    client: TestClient, sign_in: Callable[[User], TestClient], project: Project
) -> None:
    manager = sign_in(factories.make_user("manager"))
    slide = factories.make_slide(project)
    cells = dict(zip(factories.make_cells(slide, ["NGS", "NGB", "LYT", "ART"]), CODES, strict=True))
    items = [{"cell_id": cell, "class": code} for cell, code in cells.items()]
    manager.post(
        f"/projects/{project.id}/annotations", json={"action": str(uuid4()), "items": items}
    ).raise_for_status()
    fields = {"name": "Blood", **{f"target-{code}": target for code, target in TARGETS.items()}}
    address = submit(manager, f"/projects/{project.id}/mappings", **fields).headers["location"]
    assert "Labels in this scheme" in manager.get(address).text
    file = manager.get(f"{address}/labels.csv").raise_for_status().text
    read = list(csv.DictReader(io.StringIO(file)))
    assert [(row["class_here"], row["class"]) for row in read] == list(TARGETS.items())

    other = factories.make_project(["NEU", "LYM"])
    with transaction() as session:
        for row in session.scalars(select(CellClass).where(CellClass.project_id == other.id)):
            row.name = {"NEU": "Neutrophil", "LYM": "Lymphocyte"}[row.code]
    factories.copy_cells(list(cells), factories.make_slide(other))
    shown = manager.post(f"/projects/{other.id}/annotations/import", files={"files": ("labels.csv", file)})
    assert "3 labels, of which 3 can be used. 3 cells get one" in " ".join(shown.raise_for_status().text.split())
