"""The stream of events: nothing is left out, and nobody listens for ever."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from app import events
from app.db import transaction
from app.models import Event
from app.projects import live
from tests import factories


def happen(project_id: int, count: int = 1) -> None:
    with transaction() as session:
        for number in range(count):
            events.publish(session, project_id, "labels", {"number": number})


async def publish_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.to_thread(happen, 1)
            await asyncio.sleep(0.02)


async def end(hub: live.Hub, queue: asyncio.Queue[Event]) -> None:
    """Leave, and let the reader of the hub notice."""
    hub.leave(queue)
    assert hub._reader is not None
    await asyncio.wait_for(hub._reader, 20)


def test_a_page_misses_nothing_between_its_making_and_the_start_of_its_stream(
    client: TestClient, sign_in: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events before the page are not repeated; those before, while and after the reader starts all come."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.5)
    monkeypatch.setattr(events, "OVERLAP", timedelta(0))
    project = factories.make_project()
    sign_in(factories.make_user(member_of=project))
    happen(project.id, 3)
    page = client.get(f"/projects/{project.id}/cells").text
    happen(project.id, 2)
    look = live._newest

    def newest() -> int:
        found = look()
        happen(project.id)  # after the listener has joined, beside the start of the reader
        return found

    monkeypatch.setattr(live, "_newest", newest)
    monkeypatch.setattr(live, "hub", live.Hub())
    (after,) = re.findall(r'data-last-event="(\d+)"', page)
    text = client.get(f"/projects/{project.id}/events?after={after}").text
    assert {int(line[4:]) for line in text.splitlines() if line.startswith("id: ")} == {4, 5, 6}
    assert client.get(f"/projects/{project.id}/events?after=-1").status_code == 422


def test_listeners_outlive_a_restart_of_the_database(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.01)
    look, failures = live._since, iter(range(3))

    def away(event_id: int, known: set[int]) -> list[Event]:
        if next(failures, None) is not None and event_id >= 0:
            raise OperationalError("SELECT", {}, Exception("the server closed the connection"))
        return look(event_id, known)

    async def listen() -> None:
        hub = live.Hub()
        queue = hub.join(lambda event: event.project_id == 1)
        await publish_until(lambda: not queue.empty())
        monkeypatch.setattr(live, "_since", away)
        await publish_until(lambda: next(failures, None) is None)
        await asyncio.to_thread(happen, 1, 2)
        while b'data: {"number": 1}' not in await asyncio.wait_for(queue.get(), 10):
            pass
        await end(hub, queue)

    asyncio.run(listen())


def test_a_listener_that_is_too_slow_is_sent_away_to_begin_again(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WAITING", 3)

    async def listen() -> list[bool]:
        hub = live.Hub()
        slow, quick = hub.join(lambda _: True), hub.join(lambda _: False)
        await publish_until(lambda: not hub.has(slow))
        found = [slow.qsize() == 3, hub.has(quick)]
        await end(hub, quick)
        return found

    assert asyncio.run(listen()) == [True, True]


def test_a_long_gap_is_filled_and_the_stream_ends(
    client: TestClient, sign_in: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.2)
    monkeypatch.setattr(events.since, "__kwdefaults__", {"limit": 5})
    project, other = factories.make_project(), factories.make_project()
    sign_in(factories.make_user(member_of=project))
    happen(project.id, 25)
    happen(other.id)
    text = client.get(f"/projects/{project.id}/events", headers={"Last-Event-ID": "1"}).text
    ids = {int(line[4:]) for line in text.splitlines() if line.startswith("id: ")}
    assert ids == set(range(2, 26)) | (ids & {1})
