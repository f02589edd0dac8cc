"""A POST with an Idempotency-Key has one effect, however often it is sent."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from app.db import Sessions, now, transaction
from app.models import IdempotencyKey
from app.slides import receiving
from tests import factories
from tests.rest.conftest import Api, zip_of

ONCE = {"Idempotency-Key": "2f1c"}


def create(client: TestClient, name: str = "Blood", **headers: str) -> Any:
    return client.post("/projects", json={"name": name}, headers=headers or ONCE)


def names(client: TestClient) -> list[str]:
    return [project["name"] for project in client.get("/projects").json()["items"]]


def test_a_repeat_gets_the_first_answer(api: Api) -> None:
    client = api()
    first, second = create(client), create(client)
    assert first.status_code == second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert names(client) == ["Blood"]


def test_a_key_stands_for_one_request_of_one_person(api: Api) -> None:
    client = api()
    create(client)
    other_body = create(client, "Marrow")
    assert other_body.status_code == 422
    assert "Idempotency-Key" in other_body.json()["detail"]
    project = client.get("/projects").json()["items"][0]["id"]
    assert client.post(f"/projects/{project}/scanners", json={"name": "Blood"}, headers=ONCE).status_code == 422
    assert create(api(), "Marrow").status_code == 201
    assert names(client) == ["Blood", "Marrow"]


def test_a_refused_request_is_not_remembered(api: Api) -> None:
    client = api()
    project = factories.make_project(name="Blood")
    assert create(client).status_code == 422
    client.patch(f"/projects/{project.id}", json={"name": "Marrow"})
    assert create(client).status_code == 201


def test_keys_are_forgotten_after_a_day(api: Api) -> None:
    client = api()
    create(client)
    for age, status in ((timedelta(hours=23), 422), (timedelta(hours=25), 201)):
        with transaction() as session:
            session.execute(update(IdempotencyKey).values(created_at=now() - age))
        assert create(client, "Marrow").status_code == status


def test_a_crash_leaves_neither_effect_nor_answer(api: Api) -> None:
    client = api()

    def crash(_session: Session) -> None:
        raise RuntimeError("the power went")

    event.listen(Sessions, "before_commit", crash)
    try:
        assert create(client).status_code == 500
    finally:
        event.remove(Sessions, "before_commit", crash)
    assert names(client) == []
    repeated = create(client)
    assert repeated.status_code == 201
    assert "idempotency-replayed" not in repeated.headers


def test_the_same_files_again_are_one_upload(api: Api, work: Callable[[], int]) -> None:
    client = api()
    slide = factories.make_slide(factories.make_project())

    def send(data: bytes, name: str = "cells.zip") -> Any:
        return client.post(f"/slides/{slide.id}/images", files={"files": (name, data)}, headers=ONCE)

    first = send(zip_of(["NGS"] * 3))
    work()
    second = send(zip_of(["NGS"] * 3))
    assert second.headers["idempotency-replayed"] == "true"
    assert (second.status_code, second.headers["location"], second.json()) == (
        202,
        first.headers["location"],
        first.json(),
    )
    assert send(zip_of(["NGS"] * 3), "other.zip").status_code == 422
    assert send(zip_of(["NGS"] * 3, first=1)).status_code == 422
    assert work() == 0
    assert client.get(f"/slides/{slide.id}").json()["counts"]["cells"] == 3


def test_a_request_that_is_still_being_answered_is_a_conflict(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    client = api()
    slide = factories.make_slide(factories.make_project())
    receives, may_go_on = threading.Event(), threading.Event()
    store = receiving.store

    def slow_store(files: Any) -> Any:
        receives.set()
        assert may_go_on.wait(10)
        return store(files)

    monkeypatch.setattr(receiving, "store", slow_store)
    answers = []

    def send() -> Any:
        return client.post(f"/slides/{slide.id}/images", files={"files": ("a.zip", zip_of(["NGS"]))}, headers=ONCE)

    thread = threading.Thread(target=lambda: answers.append(send()))
    thread.start()
    assert receives.wait(10)
    meanwhile = send()
    may_go_on.set()
    thread.join()
    assert meanwhile.status_code == 409
    assert "still being answered" in meanwhile.json()["detail"]
    assert answers[0].status_code == 202
    assert send().headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_unusable_keys_are_refused(api: Api, key: str) -> None:
    client = api()
    assert create(client, **{"Idempotency-Key": key}).status_code == 422
    assert names(client) == []
    assert create(client, **{"Idempotency-Key": "x" * 255}).status_code == 201
