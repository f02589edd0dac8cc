"""Keys of the labelling page and the map: a person's own, kept with them, refused in words where others have them."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.models import Project
from tests import factories

SignIn = Callable[..., TestClient]


@pytest.fixture
def project(client: TestClient, sign_in: SignIn) -> Project:
    """A project whose classes have the keys n and l, Ada signed in."""
    project = factories.make_project(["NGS", "LYT"])
    sign_in(factories.make_user(member_of=project, name="Ada"))
    return project


def change(client: TestClient, project: Project, command: str, key: str, page: str = "grid") -> Any:
    return client.post(f"/projects/{project.id}/keys", json={"page": page, "command": command, "key": key})


def test_a_key_is_changed_for_a_person_in_all_projects_and_given_back(
    client: TestClient, project: Project, sign_in: SignIn
) -> None:
    ada = factories.make_user(member_of=[project, other := factories.make_project(["GGG"])])
    sign_in(ada)
    told = change(client, project, "nextBatch", "g").json()
    assert told["nextBatch"] | {"words": ""} == {
        "keys": ["g"], "texts": ["g"], "default": "⇧ N", "words": "", "own": True,
    }  # fmt: skip
    page = client.get(f"/projects/{project.id}/cells").text
    assert '<kbd data-key-of="nextBatch">g</kbd>' in page
    assert '<kbd data-key-of="review">⇧ R</kbd>' in page
    # In a project with a class of that key the class wins, and the command has its usual key.
    assert '<kbd data-key-of="nextBatch">⇧ N</kbd>' in client.get(f"/projects/{other.id}/cells").text
    assert change(client, project, "review", "Shift+N").json()["review"]["texts"] == ["⇧ N"]
    assert "⇧ N is taken: Review the predictions" in change(client, project, "nextBatch", "").json()["detail"]
    assert change(client, project, "", "").json()["nextBatch"]["texts"] == ["⇧ N"]
    sign_in(factories.make_user(member_of=project))
    assert '<kbd data-key-of="nextBatch">⇧ N</kbd>' in client.get(f"/projects/{project.id}/cells").text


@pytest.mark.parametrize(
    ("command", "key", "status", "words"),
    [
        ("nextBatch", "Shift+R", 422, "⇧ R is taken: Review the predictions of one class"),
        ("nextBatch", "Ctrl+Z", 422, "Ctrl Z is taken: Undo"),
        ("nextBatch", "n", 422, "n is the key of the class Class NGS."),
        ("nextBatch", "?", 422, "? cannot be given to a command."),
        ("nextBatch", "ArrowUp", 422, "ArrowUp cannot be given to a command."),
        ("dance", "g", 404, "There is no such command."),
    ],
)
def test_a_key_somebody_else_has_is_refused_in_words(
    client: TestClient, project: Project, command: str, key: str, status: int, words: str
) -> None:
    refused = change(client, project, command, key)
    assert (refused.status_code, words in refused.json()["detail"]) == (status, True), refused.text
    assert change(client, project, "nextBatch", "g").status_code == 200


def test_the_map_has_keys_of_its_own(client: TestClient, project: Project) -> None:
    sheet = change(client, project, "lasso", "n", "map").json()  # the key of a class, which is nothing on the map
    assert sheet["lasso"]["texts"] == ["n"]
    assert sheet["closer"]["texts"] == ["+", "="]
    assert "nextBatch" not in sheet
    taken = change(client, project, "window", "+", "map")
    assert (taken.status_code, taken.json()["detail"]) == (422, "+ is taken: Closer.")
    # What the map alone knows takes no key from the grid, and the other way round.
    assert change(client, project, "window", "Shift+R", "map").json()["window"]["texts"] == ["⇧ R"]
    assert change(client, project, "nextBatch", "Shift+G").json()["nextBatch"]["texts"] == ["⇧ G"]
    # What both know has one key on both.
    assert "⇧ M is taken: Catch the 200 cells" in change(client, project, "similar", "Shift+M").json()["detail"]
    assert change(client, project, "similar", "Ctrl++").json()["similar"]["texts"] == ["Ctrl +"]
    assert change(client, project, "", "", "grid").json()["nextBatch"]["texts"] == ["⇧ N"]
    reset = change(client, project, "window", "", "map").json()
    assert [reset[name]["texts"] for name in ("similar", "lasso", "window")] == [["⇧ S"], ["n"], ["⇧ W"]]
