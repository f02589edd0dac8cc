"""The whole loop as a REST client walks it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests import factories
from tests.rest.conftest import Api, zip_of

CODES = ["NGS"] * 8 + ["LYT"] * 8


@dataclass
class Story:
    """A slide that was sent: the client and the paths it was told."""

    client: TestClient
    project: str
    scanner: dict[str, Any]
    slide: str
    job: str

    def get(self, path: str, **params: Any) -> Any:
        return self.client.get(path, params=params).json()

    def all(self, path: str, **params: Any) -> list[Any]:
        """Follow the cursors of a list to its end."""
        items: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(path, **params, cursor=cursor)
            items += page["items"]
            cursor = page["next_cursor"]
        return items


@pytest.fixture
def story(api: Api, fake_encoder: None) -> Story:
    """A project, a scanner, and a slide to which a ZIP of 16 cells and a text were sent; nothing is unpacked yet."""
    client = api()

    def post(path: str, status: int, **body: Any) -> tuple[str, Any]:
        answer = client.post(path, **body)
        assert answer.status_code == status, answer.text
        return answer.headers.get("location", "").removeprefix("/api/v1"), answer.json()

    classes = [{"code": "NGS", "name": "Neutrophil", "color": "#112233"}, {"code": "LYT", "name": "Lymphocyte"}]
    project, _ = post("/projects", 201, json={"name": "Blood", "classes": classes})
    _, scanner = post(f"{project}/scanners", 201, json={"name": "DM96, 100x", "um_per_px": 0.1})
    slide, _ = post(f"{project}/slides", 201, json={"accession": "S-1", "scanner_id": scanner["id"]})
    assert client.get(slide).json()["state"] == "receiving"
    files = [("files", ("cells.zip", zip_of(CODES))), ("files", ("note.txt", b"hello"))]
    job, _ = post(f"{slide}/images", 202, files=files, data={"kind": "cells"})
    return Story(client, project, scanner, slide, job)


@pytest.fixture
def labelled(story: Story, work: Callable[[], int]) -> Story:
    """The same, unpacked, with three labels in each class, fitted and scored."""
    work()
    cells = story.all(f"{story.slide}/cells")
    items = [{"cell_id": cell["id"], "class": cell["name"][:3]} for cell in cells[:3] + cells[-3:]]
    saved = story.client.post(f"{story.project}/annotations", json={"items": items})
    assert (saved.status_code, saved.json()) == (201, {"saved": 6, "skipped": []})
    work()
    return story


def test_a_job_says_what_became_of_the_files(story: Story, work: Callable[[], int]) -> None:
    assert story.get(story.job)["state"] == "queued"
    assert story.get(story.slide)["state"] == "receiving"  # nobody said yet that this is all
    assert story.client.post(f"{story.slide}/complete").json()["state"] == "queued"
    work()
    job = story.get(story.job)
    assert (job["state"], job["kind"], job["attempts"]) == ("done", "slides.unpack", 1)
    upload = job["upload"]
    assert (upload["received_files"], upload["images"], upload["stored"], upload["refused"]) == (2, 17, 16, 1)
    assert [refusal["name"] for refusal in upload["refusals"]] == ["note.txt"]
    slide = story.get(story.slide)
    assert (slide["state"], slide["differential"]) == ("needs_review", None)
    assert [each["state"] for each in slide["states"]] == ["receiving", "queued", "processing", "needs_review"]
    assert slide["counts"] == {"cells": 16, "labelled": 0, "embedded": 16, "refused": 1}
    cells = story.all(f"{story.slide}/cells", limit=7)
    assert [cell["name"] for cell in cells] == [f"{code}-{number}.png" for number, code in enumerate(CODES)]


def test_labels_become_predictions_and_a_differential(labelled: Story) -> None:
    names = {cell["id"]: cell["name"][:3] for cell in labelled.all(f"{labelled.slide}/cells")}
    history = labelled.all(f"{labelled.project}/annotations", limit=4)
    assert [row["class"] for row in history] == ["NGS"] * 3 + ["LYT"] * 3
    predictions = labelled.all(f"{labelled.project}/predictions", limit=5, order="confident")
    assert sorted(row["cell_id"] for row in predictions) == sorted(names)
    assert sum(row["predicted"] == names[row["cell_id"]] for row in predictions) >= 15
    assert all(abs(sum(row["probabilities"].values()) - 1) < 0.01 for row in predictions)
    result = labelled.get(labelled.slide)["differential"]
    assert sum(row["count"] for row in result["classes"]) == result["cells"] == 16
    assert sum(row["share"] for row in result["classes"]) == 1
    project = labelled.get(labelled.project)
    assert [(row["code"], row["key"], row["labelled"]) for row in project["classes"]] == [
        ("NGS", "n", 3),
        ("LYT", "l", 3),
    ]
    assert [row["predicted"] for row in project["classes"]] == [
        next(each["count"] for each in result["classes"] if each["class"] == code) for code in ("NGS", "LYT")
    ]
    assert project["classes"][0]["color"] == "#112233"
    assert project["scanners"] == [labelled.scanner]
    assert project["classifier"] == result["classifier"]


def test_a_cell_shows_its_label_and_prediction(labelled: Story) -> None:
    first, *_, middle = labelled.all(f"{labelled.slide}/cells")[:5]
    cell = labelled.get(f"/cells/{first['id']}")
    assert cell["annotation"]["class"] == cell["class"] == "NGS"
    assert cell["prediction"]["probabilities"][cell["prediction"]["predicted"]] == cell["prediction"]["confidence"]
    assert labelled.get(f"/cells/{middle['id']}")["annotation"] is None


def test_predictions_are_filtered_like_the_grid(labelled: Story) -> None:
    def count(**params: Any) -> int:
        return len(labelled.all(f"{labelled.project}/predictions", **params))

    slide = labelled.get(labelled.slide)["id"]
    assert count(labelled="no") == 10
    assert count(**{"class": "NGS"}) == 3
    assert count(predicted="NGS") + count(predicted="LYT") == count(slide_id=slide, order="random") == 16
    assert count(slide_id=999) == count(scanner_id=999) == 0
    for wrong in ({"class": "XXX"}, {"order": "best"}, {"cursor": "abc"}, {"limit": 0}, {"limit": 1001}):
        answer = labelled.client.get(f"{labelled.project}/predictions", params=wrong)
        assert answer.status_code == 422
        assert next(iter(wrong)) in answer.json()["detail"]


def test_labels_are_corrected_and_taken_back(labelled: Story) -> None:
    first = labelled.all(f"{labelled.slide}/cells")[0]["id"]
    path = f"{labelled.project}/annotations"
    labelled.client.post(path, json={"items": [{"cell_id": first, "class": "LYT"}]})
    held_back = labelled.client.post(path, json={"items": [{"cell_id": first, "class": None, "if_class": "NGS"}]})
    assert held_back.json()["saved"] == 0
    assert held_back.json()["skipped"][0]["class"] == "LYT"
    labelled.client.post(path, json={"items": [{"cell_id": first, "class": None}], "source": "import"})
    history = labelled.all(path, cell_id=first)
    assert [(row["class"], row["source"]) for row in history] == [("NGS", "label"), ("LYT", "label"), (None, "import")]
    assert len(labelled.all(path)) == 8
    current = labelled.all(path, current=True)
    assert [row["class"] for row in current] == ["NGS"] * 2 + ["LYT"] * 3 + [None]
    twice = [{"cell_id": first, "class": "NGS"}] * 2
    for wrong in ([], twice, [{"cell_id": first, "class": "XXX"}], [{"cell_id": 10**30, "class": "NGS"}]):
        assert labelled.client.post(path, json={"items": wrong}).status_code == 422
    assert labelled.get(f"/cells/{first}")["class"] is None


@pytest.mark.parametrize("name", ["image", "thumbnail"])
def test_images_come_back(story: Story, work: Callable[[], int], name: str) -> None:
    work()
    cell = story.all(f"{story.slide}/cells")[0]
    image = story.client.get(f"/cells/{cell['id']}/{name}")
    assert image.status_code == 200
    assert image.headers["content-type"].startswith("image/")
    known = {"If-None-Match": image.headers["etag"]}
    assert story.client.get(f"/cells/{cell['id']}/{name}", headers=known).status_code == 304


def test_what_the_images_show_is_cells_or_fields(api: Api) -> None:
    client = api()
    slide = factories.make_slide(factories.make_project())
    file = {"files": ("a.png", factories.cell_image("NGS", 1))}
    refused = client.post(f"/slides/{slide.id}/images", files=file, data={"kind": "smear"})
    assert (refused.status_code, refused.json()["detail"]) == (422, 'kind: must be "cells", "field" or "off_centre".')
    assert client.post(f"/slides/{slide.id}/images", files=file, data={"kind": "field"}).status_code == 202
    assert client.post(f"/slides/{slide.id}/images", data={"kind": "cells"}).status_code == 422
    assert client.post(f"/slides/{slide.id}/images", files=file).status_code == 202
