"""Receivers are told what happens: signed, again until it arrives, never into the lab's own network unless allowed."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app import config
from app.db import now, reading, transaction
from app.job import Job
from app.models import AuditEvent, Delivery, Project, Webhook
from tests import factories
from tests.rest.conftest import api  # noqa: F401  # a fixture
from tests.webhooks.receiver import Receiver, receiving

Work = Callable[[], int]


@pytest.fixture
def project(installation: object, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("FIFTYCELLS_WEBHOOK_NETWORKS", "127.0.0.0/8, ::1/128")
    config.get_settings.cache_clear()
    return factories.make_project()


@pytest.fixture
def manager(api: Callable[[], TestClient]) -> TestClient:  # noqa: F811
    return api()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def add(manager: TestClient, project: Project, url: str, events: Any = ("slide.state_changed",)) -> Any:
    return manager.post(f"/projects/{project.id}/webhooks", json={"url": url, "events": list(events)})


def new_slide(manager: TestClient, project: Project, accession: str = "2026-004711") -> int:
    body = {"accession": accession, "scanner_id": factories.make_scanner(project).id}
    return int(manager.post(f"/projects/{project.id}/slides", json=body).json()["id"])


def log(manager: TestClient, webhook_id: int) -> list[Any]:
    items: list[Any] = manager.get(f"/webhooks/{webhook_id}/deliveries").json()["items"]
    return items


def let_pass(time: timedelta) -> None:
    """Move all that waits and its past into the past."""
    with transaction() as session:
        for delivery in session.scalars(select(Delivery)):
            delivery.next_at -= time
            delivery.give_up_at -= time
        for webhook in session.scalars(select(Webhook)):
            if webhook.failing_since and webhook.resume_at:
                webhook.failing_since, webhook.resume_at = webhook.failing_since - time, webhook.resume_at - time
        session.execute(update(Job).values(not_before=None))


def documented_verification() -> Callable[[str, dict[str, str], bytes], bool]:
    page = Path("docs/webhooks.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(code[1], names)
    found: Callable[[str, dict[str, str], bytes], bool] = names["verify"]
    return found


def test_a_receiver_that_fails_first_gets_everything_signed(
    project: Project, manager: TestClient, receiver: Receiver, work: Work
) -> None:
    made = add(manager, project, receiver.url).json()
    receiver.status = 503
    slide_id = new_slide(manager, project)
    work()
    new_slide(manager, project, "2026-004712")
    work()
    assert len(receiver.received) == 1, "while it fails, all that waits for it waits"
    receiver.status = 200
    let_pass(timedelta(seconds=6))
    work()
    assert len(receiver.received) == 3
    keys = [headers["webhook-id"] for headers, _ in receiver.received]
    assert keys[0] in keys[1:]
    verify = documented_verification()
    for headers, body in receiver.received:
        assert verify(made["secret"], headers, body)
        assert not verify(made["secret"], headers, body + b" ")
        assert b"2026-0047" not in body
    first = json.loads(receiver.received[0][1])
    assert first["type"] == "slide.state_changed"
    assert (first["data"]["slide_id"], first["data"]["state"]) == (slide_id, "receiving")
    oldest = log(manager, made["id"])[-1]
    assert oldest["state"] == "delivered"
    assert [(each["status"], each["answer"]) for each in oldest["attempts"]] == [
        (503, "answer 503"),
        (200, "answer 200"),
    ]


def test_pauses_grow_until_a_day_is_over_and_it_can_be_sent_by_hand(
    project: Project, manager: TestClient, receiver: Receiver, work: Work
) -> None:
    webhook_id = add(manager, project, receiver.url).json()["id"]
    receiver.status = 302
    new_slide(manager, project)
    pauses = []
    while True:
        work()
        [delivery] = log(manager, webhook_id)
        if delivery["state"] == "failed":
            break
        with reading() as session:
            pause = session.scalars(select(Delivery.next_at)).one() - now()
        pauses.append(pause.total_seconds())
        let_pass(pause + timedelta(seconds=1))
    assert pauses[:3] == pytest.approx([5, 10, 20], abs=3)
    assert pauses == pytest.approx([min(5 * 2**n, 3600) for n in range(len(pauses))], abs=3)
    assert sum(pauses) == pytest.approx(86_400, abs=3700)
    assert len(receiver.received) == len(pauses) + 1, "redirects are not followed"
    receiver.status = 204
    assert manager.post(f"/deliveries/{delivery['id']}/send").status_code == 202
    work()
    assert log(manager, webhook_id)[0]["state"] == "delivered"


def test_a_receiver_down_for_three_days_is_switched_off(
    project: Project, manager: TestClient, receiver: Receiver, work: Work
) -> None:
    webhook_id = add(manager, project, receiver.url).json()["id"]
    receiver.status = 500
    for accession in ("first", "second"):
        new_slide(manager, project, accession)
        work()
        let_pass(timedelta(days=3, seconds=5))
    work()
    found = manager.get(f"/webhooks/{webhook_id}").json()
    assert (found["active"], bool(found["switched_off_at"])) == (False, True)
    with reading() as session:
        assert session.scalar(select(AuditEvent.id).where(AuditEvent.what == "webhook.switched_off"))
    asked = len(receiver.received)
    new_slide(manager, project, "third")
    work()
    assert len(receiver.received) == asked
    assert manager.post(f"/webhooks/{webhook_id}/test").status_code == 409
    assert manager.patch(f"/webhooks/{webhook_id}", json={"active": True}).json()["switched_off_at"] is None
    receiver.status = 200
    assert manager.post(f"/webhooks/{webhook_id}/test").status_code == 202
    work()
    assert json.loads(receiver.received[-1][1])["type"] == "test"


def test_two_secrets_sign_for_a_day_after_a_change(
    project: Project, manager: TestClient, receiver: Receiver, work: Work
) -> None:
    made = add(manager, project, receiver.url).json()
    newer = manager.post(f"/webhooks/{made['id']}/secret").json()["secret"]
    verify = documented_verification()
    for old_holds in (True, False):
        manager.post(f"/webhooks/{made['id']}/test")
        work()
        headers, body = receiver.received[-1]
        assert (verify(newer, headers, body), verify(made["secret"], headers, body)) == (True, old_holds)
        with transaction() as session:
            session.execute(update(Webhook).values(rotated_at=now() - timedelta(days=2)))


@pytest.mark.parametrize(
    "url",
    ["http://10.1.2.3/x", "https://169.254.169.254/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "ftp://lis.example/",
     "https://user:secret@lis.example/", "no address", "http://"],
)  # fmt: skip
def test_addresses_that_are_refused(
    project: Project, manager: TestClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FIFTYCELLS_WEBHOOK_NETWORKS", "")
    config.get_settings.cache_clear()
    refused = add(manager, project, url)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "url")
    assert add(manager, project, "https://8.8.8.8/x").status_code == 201


def test_a_name_that_stands_for_a_private_address_is_not_connected_to(
    project: Project, manager: TestClient, receiver: Receiver, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id = add(manager, project, receiver.url).json()["id"]
    for networks, arrives in (("10.0.0.0/8", False), ("127.0.0.0/8 ::1", True)):
        monkeypatch.setenv("FIFTYCELLS_WEBHOOK_NETWORKS", networks)
        config.get_settings.cache_clear()
        manager.post(f"/webhooks/{webhook_id}/test")
        work()
        assert bool(receiver.received) == arrives
    assert "private address" in log(manager, webhook_id)[1]["attempts"][0]["answer"]


def test_a_receiver_that_is_not_there_is_in_the_log(project: Project, manager: TestClient, work: Work) -> None:
    webhook_id = add(manager, project, "http://127.0.0.1:1/").json()["id"]
    manager.post(f"/webhooks/{webhook_id}/test")
    work()
    [delivery] = log(manager, webhook_id)
    assert (delivery["state"], delivery["attempts"][0]["status"]) == ("pending", None)
    assert "refused" in delivery["attempts"][0]["answer"]
    assert manager.delete(f"/webhooks/{webhook_id}").status_code == 204
    assert manager.get(f"/webhooks/{webhook_id}").status_code == 404


def test_a_manager_adds_one_in_the_browser(
    project: Project, receiver: Receiver, sign_in: Callable[[Any], TestClient], work: Work
) -> None:
    browser = sign_in(factories.make_user("manager"))
    page = f"/projects/{project.id}/webhooks"
    none_chosen = browser.post(page, data={"url": receiver.url})
    assert (none_chosen.status_code, "Choose at least one." in none_chosen.text) == (422, True)
    shown = browser.post(page, data={"url": receiver.url, "events": ["slide.state_changed"]})
    secret = re.search(r"whsec_[\w+/=]+", shown.text)
    address = re.search(r'action="(/webhooks/\d+)/test"', shown.text)
    assert secret
    assert address
    assert secret[0] not in browser.get(address[1]).text
    browser.post(f"{address[1]}/test")
    work()
    assert documented_verification()(secret[0], *receiver.received[0])
    assert "answer 200" in browser.get(address[1]).text
    off = {"url": receiver.url, "events": ["classifier.activated"]}
    assert 'name="active"' in browser.post(address[1], data=off).text
    assert "off" in browser.get(page).text
    assert browser.post(f"{address[1]}/test").status_code == 409
