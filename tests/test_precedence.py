"""Whoever labels goes first; of the requests that read two are at work at once."""

import asyncio
import threading

import pytest
from sqlalchemy import text
from starlette.types import Receive, Scope, Send

from app import precedence
from app.db import reading
from app.precedence import READERS, Precedence

PAGE = {"type": "http", "method": "GET", "path": "/projects/1/cells"}
LABEL = {"type": "http", "method": "POST", "path": "/projects/1/annotations"}


class Held:
    """An application whose answers begin, and end, when the test says so."""

    def __init__(self) -> None:
        self.at_work = 0
        self.begin, self.end = asyncio.Event(), asyncio.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer as a stream does: the head first."""
        self.at_work += 1
        await self.begin.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.end.wait()


async def nothing(_message: object = None) -> None:
    """Stand for both ends of the connection."""


async def pages_asked_for(passed: Precedence) -> list[asyncio.Task[None]]:
    """Ask for one page more than can be at work."""
    tasks = [asyncio.create_task(passed(PAGE, nothing, nothing)) for _ in range(READERS + 1)]
    await settle()
    return tasks


async def settle() -> None:
    """Let all tasks go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("longest", [60, 0.01])
def test_a_page_waits_for_a_label_but_not_for_a_slow_one(client, monkeypatch, longest):
    monkeypatch.setattr(precedence, "LONGEST", longest)
    happened = []

    def make_page():
        with reading(gives_way=True) as session:
            session.execute(text("SELECT 1"))
        happened.append("page")

    def make_plain():
        with reading() as session:
            session.execute(text("SELECT 1"))

    async def story():
        app = Held()
        label = asyncio.create_task(Precedence(app)(LABEL, nothing, nothing))
        await settle()
        await asyncio.to_thread(make_plain)  # what belongs to the label itself waits for nothing
        page = threading.Thread(target=make_page)
        page.start()
        await asyncio.to_thread(page.join, 0.2 if longest > 1 else 60)
        happened.append("label")
        app.begin.set()
        app.end.set()
        await label
        await asyncio.to_thread(page.join)

    asyncio.run(story())
    assert happened == (["label", "page"] if longest > 1 else ["page", "label"])


def test_requests_that_read_take_turns_until_their_answer_begins():
    async def story():
        app = Held()
        passed = Precedence(app)
        tasks = await pages_asked_for(passed)
        assert app.at_work == READERS
        for path, method in (("/static/app.js", "GET"), ("/projects/1/annotations", "POST"), ("/projects", "POST")):
            tasks.append(asyncio.create_task(passed({**PAGE, "path": path, "method": method}, nothing, nothing)))
        await settle()
        assert app.at_work == READERS + 3
        app.begin.set()  # the streams go on, and the next one begins
        await settle()
        assert app.at_work == READERS + 4
        app.end.set()
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_a_reader_who_goes_away_leaves_the_turn_to_the_next():
    async def story():
        app = Held()
        passed = Precedence(app)
        tasks = await pages_asked_for(passed)
        tasks[0].cancel()
        await settle()
        assert app.at_work == READERS + 1
        app.begin.set()
        app.end.set()
        await asyncio.gather(*tasks[1:])

    asyncio.run(story())
