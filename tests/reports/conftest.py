"""A project with a classifier, and a slide to report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from app.models import Project, Scanner, Slide, User
from tests import factories
from tests.rest.conftest import Api, api

__all__ = ["Api", "api"]

LOOKS = ["NGS"] * 12 + ["LYT"] * 7 + ["ERY"] * 1
SignIn = Callable[[User], TestClient]


@dataclass
class Lab:
    """A slide of 20 cells in a project whose classifier learned from another slide; a reviewer is signed in."""

    project: Project
    scanner: Scanner
    slide: Slide
    cells: dict[int, str]  # what each of its cells looks like
    reviewer: User
    client: TestClient
    work: Callable[[], int]
    rest: TestClient

    def get(self, path: str) -> Any:
        return self.rest.get(path).raise_for_status().json()

    @property
    def differential(self) -> Any:
        return self.get(f"/slides/{self.slide.id}")["differential"]

    @property
    def content(self) -> Any:
        """What the newest stored version says."""
        report = self.get(f"/slides/{self.slide.id}/reports")["items"][0]
        return self.get(f"/reports/{report['id']}")["content"]

    @property
    def page(self) -> str:
        return " ".join(self.client.get(f"/slides/{self.slide.id}/report").raise_for_status().text.split())

    def correct(self, *cells: int, code: str | None) -> Any:
        items = [{"cell_id": cell, "class": code} for cell in cells]
        return self.client.post(
            f"/slides/{self.slide.id}/report/corrections", json={"action": str(uuid4()), "items": items}
        )

    def settle(self) -> None:
        """Activate the newest version, and give the cells that are unclassified the class they look like."""
        self.activate()
        for cell in self.content["cells"]:
            if cell["class"] is None:
                self.correct(cell["cell_id"], code=self.cells[cell["cell_id"]])

    def post(self, what: str, **form: str) -> Any:
        return self.client.post(f"/slides/{self.slide.id}/report/{what}", data=form, follow_redirects=False)

    def sign(self, reason: str = "") -> Any:
        seen = self.page.partition('name="seen" value="')[2].partition('"')[0]
        return self.post("signature", seen=seen, reason=reason)

    def activate(self) -> int:
        """Make the newest version the reporting one of the scanner; returns its number."""
        newest = self.get(f"/projects/{self.project.id}/classifiers?order=newest&limit=1")["items"][0]
        body = {"scanner_id": self.scanner.id}
        self.rest.post(f"/classifiers/{newest['id']}/activate", json=body).raise_for_status()
        self.work()
        return int(newest["version"])

    def label(self, cells: dict[int, str]) -> None:
        items = [{"cell_id": cell, "class": code} for cell, code in cells.items()]
        self.rest.post(f"/projects/{self.project.id}/annotations", json={"items": items}).raise_for_status()
        self.work()


@pytest.fixture
def lab(work: Callable[[], int], sign_in: SignIn, api: Api) -> Lab:
    project = factories.make_project(["NGS", "LYT", "ERY"])
    scanner = factories.make_scanner(project)
    learned = factories.make_cells(factories.make_slide(project, scanner=scanner), ["NGS", "LYT", "ERY"] * 5)
    slide = factories.make_slide(project, scanner=scanner)
    cells = factories.make_cells(slide, LOOKS)
    work()
    reviewer = factories.make_user("reviewer", member_of=project, name="Grace")
    client = sign_in(reviewer)
    found = Lab(project, scanner, slide, dict(zip(cells, LOOKS, strict=True)), reviewer, client, work, api())
    found.rest.post(f"/slides/{slide.id}/complete").raise_for_status()
    work()
    found.label(dict(zip(learned, ["NGS", "LYT", "ERY"] * 5, strict=True)))
    return found
