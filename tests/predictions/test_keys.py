"""The keys of the labelling page: a person's own, kept with them, refused in words where somebody else has them."""

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


def change(client: TestClient, project: Project, command: str, key: str) -> Any:
    return client.post(f"/projects/{project.id}/keys", json={"command": command, "key": key})


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
