"""Whoever labels goes first: pages in the making wait for the moments in which a label is saved.

Python computes one thing at a time. Of twenty people who follow the scores some page is always in the making, and a
label, which takes half as long as a page, would share the interpreter with it and with all that wait to be made.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final

from anyio import Semaphore
from anyio.lowlevel import RunVar
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LABELS: Final = re.compile(r"(/api/v1)?/projects/\d+/annotations")
LONGEST: Final = 0.1
"""Seconds for which pages wait for a label, however long it takes: its sender may be slow."""
READERS: Final = 2
"""Requests that read and are answered at once: with more of them none is ready earlier."""


class Way:
    """Some threads give way, before each statement, to what is ahead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0
        self._until = 0.0
        self._free = threading.Event()
        self._free.set()
        self._here = threading.local()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Be what the others wait for."""
        with self._lock:
            self._ahead += 1
            self._until = time.monotonic() + LONGEST
            self._free.clear()
        try:
            yield
        finally:
            with self._lock:
                self._ahead -= 1
                if not self._ahead:
                    self._free.set()

    def give(self) -> None:
        """Wait until nothing is ahead, but not for long."""
        if not self._free.is_set() and not getattr(self._here, "holds_lock", False):
            self._free.wait(max(0.0, self._until - time.monotonic()))

    @contextmanager
    def holding_lock(self) -> Iterator[None]:
        """Give way to nothing meanwhile: what is ahead may be waiting for a lock that this thread holds."""
        self._here.holds_lock = True
        try:
            yield
        finally:
            self._here.holds_lock = False


way = Way()


class Precedence:
    """Lets labels in at once, and READERS at a time of the requests that read, each until its answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in its turn."""
        method, path = scope.get("method"), scope.get("path", "")
        if method == "POST" and LABELS.fullmatch(path):
            with way.ahead():
                await self.app(scope, receive, send)
        elif method in ("GET", "HEAD") and not path.startswith("/static/"):
            await self._in_turn(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(at_most(READERS, _readers))

            async def send_and_leave(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await turn.aclose()
                await send(message)

            await self.app(scope, receive, send_and_leave)


_readers = RunVar[Semaphore]("readers")


def at_most(count: int, turns: RunVar[Semaphore]) -> Semaphore:
    """Return the semaphore that lets so many in; every event loop has its own, made at its first use."""
    if turns.get(None) is None:
        turns.set(Semaphore(count))
    return turns.get()


def give_way_between_statements(engine: Engine) -> None:
    """Let connections with the execution option `gives_way` wait before each statement for what is ahead."""

    def before(connection: Connection, *_statement: object) -> None:
        if connection.get_execution_options().get("gives_way"):
            way.give()

    event.listen(engine, "before_cursor_execute", before)
