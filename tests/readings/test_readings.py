"""Audits, blind second readings and their settlement through HTTP, with the fake encoder."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.cells.sampling import drawn
from app.models import Project, User
from tests import factories
from tests.pages import Grid, grid_of

LOOKS = ["NGS"] * 60 + ["LYT"] * 60
SignIn = Callable[..., TestClient]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT"])


@pytest.fixture
def ada(project: Project) -> User:
    return factories.make_user(member_of=project, name="Ada")


@pytest.fixture
def looks(project: Project, work: Callable[[], int]) -> dict[int, str]:
    """Cell ids and what the cells look like."""
    cells = factories.make_cells(factories.make_slide(project), LOOKS)
    work()
    return dict(zip(cells, LOOKS, strict=True))


def check(client: TestClient, project: Project, audit: str = "0", second: str = "0", readers: str = "2") -> Any:
    """Set as a manager what is checked; the caller signs somebody in again."""
    form = {"audit_percent": audit, "second_percent": second, "readers": readers}
    return client.post(f"/projects/{project.id}/quality", data=form)


def label(client: TestClient, project: Project, classes: dict[int, str | None], **more: Any) -> str:
    """Label cells; returns the action."""
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    action = str(uuid4())
    body = {"action": action, "items": items, **more}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()
    return action


def replay(client: TestClient, project: Project, action: str, how: str) -> None:
    body = {"action": str(uuid4())}
    client.post(f"/projects/{project.id}/actions/{action}/{how}", json=body).raise_for_status()


def serve(client: TestClient, project: Project, what: str) -> Any:
    answer = client.post(f"/projects/{project.id}/{what}", json={})
    return grid_of(client, answer.json()["url"]) if answer.status_code == 200 else answer


def whole(client: TestClient, project: Project, **filters: str) -> Grid:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return grid_of(client, f"/projects/{project.id}/cells?{query}")


def tile(grid: Grid, cell_id: int) -> dict[str, str]:
    return next(each for each in grid.tiles if each["cell-id"] == str(cell_id))


def quality(client: TestClient, project: Project) -> str:
    text = client.get(f"/projects/{project.id}/quality").raise_for_status().text
    return " ".join(text.split())


def test_managers_set_what_is_checked(client: TestClient, project: Project, ada: User, sign_in: SignIn) -> None:
    sign_in(ada)
    assert check(client, project, audit="10").status_code == 403
    assert "0 % of all cells are audited" in quality(client, project)
    sign_in(factories.make_user("manager"))
    refused = check(client, project, audit="101", readers="1")
    assert refused.status_code == 422
    assert "At least 2, please." in refused.text
    check(client, project, audit="12,5", second="5", readers="3").raise_for_status()
    assert 'value="12.5"' in quality(client, project)
    assert "audited share: 0 → 0.125" in client.get(f"/projects/{project.id}/audit").text
    sign_in(factories.make_user())
    assert client.get(f"/projects/{project.id}/quality").status_code == 404


@pytest.fixture
def audited(
    client: TestClient, project: Project, ada: User, looks: dict[int, str], work: Callable[[], int], sign_in: SignIn
) -> set[int]:
    """Half of the cells are audited, sixteen others labelled by Ada, who is signed in; returns the audited ones."""
    sign_in(factories.make_user("manager"))
    check(client, project, audit="50").raise_for_status()
    sign_in(ada)
    assert "no predictions to audit" in serve(client, project, "audits").json()["detail"]
    cells = [cell for cell in looks if not audited_here(cell)]
    label(client, project, {cell: looks[cell] for cell in cells[:8] + cells[-8:]})
    work()
    return {cell for cell in looks if audited_here(cell)}


def audited_here(cell_id: int) -> bool:
    return bool(drawn(np.array([cell_id]), 0.5, "audit")[0])


def test_nothing_that_goes_by_predictions_shows_cells_of_the_audit(
    client: TestClient, project: Project, audited: set[int], looks: dict[int, str]
) -> None:
    assert 25 < len(audited) < 95
    assert int(whole(client, project).page["audit"]) == len(audited)
    predicted = {cell for code in ("NGS", "LYT") for cell in whole(client, project, predicted=code).ids}
    assert predicted == set(looks) - audited
    assert set(whole(client, project, order="confident").ids[-len(audited) :]) == audited
    assert not set(serve(client, project, "batches").ids) & audited
    assert not set(serve(client, project, "reviews").ids) & audited
    assert set(serve(client, project, "audits").ids) <= audited


def test_first_labels_of_the_audit_tell_how_often_predictions_are_right(
    client: TestClient, project: Project, audited: set[int], looks: dict[int, str]
) -> None:
    batch = serve(client, project, "audits")
    assert set(batch.ids) <= audited
    hidden = [int(each["cell-id"]) for each in batch.tiles if not each["predicted"]]
    assert 3 < len(hidden) < len(batch.ids) - 3
    assert tile(batch, hidden[0])["why"] == "prediction hidden"

    wrong = {"NGS": "LYT", "LYT": "NGS"}[looks[hidden[0]]]
    label(client, project, {cell: looks[cell] for cell in batch.ids} | {hidden[0]: wrong})
    assert not tile(grid_of(client, batch.url), hidden[1])["predicted"]  # even after the label, in this batch
    label(client, project, {hidden[0]: looks[hidden[0]]})  # a change of mind is no first label
    text = quality(client, project)
    assert f"{len(hidden)} cells labelled with their prediction hidden" in text
    assert f"{100 * (len(hidden) - 1) / len(hidden):.1f} %" in text
    assert "100.0 %" in text  # where it was shown
    action = label(client, project, {hidden[1]: None})
    assert f"{len(hidden) - 1} cells labelled with their prediction hidden" in quality(client, project)
    replay(client, project, action, "undo")
    assert f"{len(hidden)} cells labelled with their prediction hidden" in quality(client, project)


@pytest.fixture
def read_again(client: TestClient, project: Project, ada: User, looks: dict[int, str], sign_in: SignIn) -> list[int]:
    """Twenty cells that Ada has labelled NGS and others shall read; Grace is signed in."""
    sign_in(factories.make_user("manager"))
    check(client, project, second="100").raise_for_status()
    cells = list(looks)[:20]
    sign_in(ada)
    label(client, project, dict.fromkeys(cells, "NGS"))
    assert tile(whole(client, project, labelled="yes"), cells[0])["class"] == "NGS"
    assert serve(client, project, "second-readings").status_code == 409
    sign_in(factories.make_user(member_of=project, name="Grace"))
    return cells


def test_a_label_is_hidden_from_those_who_shall_read_the_cell(
    client: TestClient, project: Project, read_again: list[int], looks: dict[int, str]
) -> None:
    seen = whole(client, project, labelled="yes")
    assert {each["class"] for each in seen.tiles} == {""}
    assert whole(client, project, **{"class": "NGS"}).ids == []
    state = client.get(f"/projects/{project.id}/cells/state?ids={read_again[0]}").json()["cells"][0]
    assert (state["class"], state["by"], state["why"]) == ("", "", "read blind")
    batch = serve(client, project, "second-readings")
    assert sorted(batch.ids) == read_again
    items = [{"cell_id": list(looks)[30], "class": "NGS"}]
    body = {"action": str(uuid4()), "batch": int(batch.page["reading"]), "items": items}
    refused = client.post(f"/projects/{project.id}/annotations", json=body)
    assert (refused.status_code, "not given to you to read" in refused.text) == (422, True)


def test_a_second_reading_leaves_the_label_as_it_is(
    client: TestClient, project: Project, read_again: list[int]
) -> None:
    first, second, third = read_again[:3]
    batch = serve(client, project, "second-readings")
    number = int(batch.page["reading"])
    label(client, project, {first: "LYT", second: "LYT"}, batch=number)
    label(client, project, {first: "NGS"}, batch=number)  # corrected while still blind
    assert [tile(grid_of(client, batch.url), cell)["class"] for cell in (first, second)] == ["NGS", "LYT"]
    assert tile(whole(client, project), second)["class"] == "NGS"  # Ada's label stands
    action = label(client, project, {third: "LYT"})  # anywhere on the page it is a reading
    assert tile(whole(client, project), third)["class"] == "NGS"
    for how, shown in (("undo", ""), ("redo", "NGS"), ("undo", "")):
        replay(client, project, action, how)
        assert tile(whole(client, project), third)["class"] == shown  # "" waits for her again
    assert "Ada · Grace" in quality(client, project)


def test_reviewers_settle_what_was_not_read_alike(
    client: TestClient, project: Project, ada: User, looks: dict[int, str], sign_in: SignIn
) -> None:
    sign_in(factories.make_user("manager"))
    check(client, project, second="100", readers="3").raise_for_status()
    cells = list(looks)[:10]
    sign_in(ada)
    label(client, project, {cell: looks[cell] for cell in cells})
    for name, answers in (("Grace", {}), ("Linus", {cells[0]: "LYT", cells[1]: "LYT"})):
        sign_in(factories.make_user(member_of=project, name=name))
        assert serve(client, project, "adjudications").status_code == 403
        label(client, project, {cell: looks[cell] for cell in cells} | answers)
    reviewer = factories.make_user("reviewer", member_of=project)
    sign_in(reviewer)
    queue = serve(client, project, "adjudications")
    assert queue.ids == cells[:2]
    assert tile(queue, cells[0])["why"] == "Grace: NGS, Linus: LYT, Ada: NGS"
    label(client, project, {cells[0]: "NGS"}, source="kept")
    label(client, project, {cells[1]: "LYT"})
    assert (
        serve(client, project, "adjudications").json()["detail"] == "Nothing to settle: no cell was read differently."
    )
    assert tile(whole(client, project), cells[1])["class"] == "LYT"
    text = quality(client, project)
    assert text.count("(Cohen)") == 3
    sign_in(ada)
    assert quality(client, project).count("(Cohen)") == 2
