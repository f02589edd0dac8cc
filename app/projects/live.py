"""The stream of events of a project: what other people and the workers do reaches the browser without reloading."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Container
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import OperationalError
from sse_starlette import EventSourceResponse, ServerSentEvent

from app import events
from app.db import reading
from app.events import Event
from app.forms import LARGEST_ID
from app.projects.access import ViewableProject

POLL = 0.04  # seconds between two looks at the event table, one look for all listeners together
LONGEST_ID = 19  # digits of an id that a database can hold
WAITING = 2000  # events a listener may lag behind before its stream is ended
PAUSE = 1.0  # seconds to wait for a database that is away
# Then the listener connects again, and its session, token and projects are looked at again.
STREAM_SECONDS = 600.0

Wanted = Callable[[Event], bool]
Found = TypeVar("Found")
EventId = Annotated[int | None, Query(ge=0, le=LARGEST_ID)]

log = logging.getLogger(__name__)
router = APIRouter(tags=["projects"])


class Hub:
    """Reads the event table once for all listeners of this process, as long as there are any."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[bytes], Wanted] = {}
        self._reader: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    def join(self, wanted: Wanted) -> asyncio.Queue[bytes]:
        """Return a queue that receives the wanted events committed once `started` has been awaited."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._listeners[queue] = wanted
        if self._reader is None or self._reader.done():
            self._started = asyncio.Event()
            self._reader = asyncio.create_task(self._read(self._started))
        return queue

    async def started(self) -> None:
        """Wait until the reader knows where it begins: earlier events are not sent to anybody."""
        await self._started.wait()

    def leave(self, queue: asyncio.Queue[bytes]) -> None:
        """Stop sending events to a queue."""
        self._listeners.pop(queue, None)

    async def _read(self, started: asyncio.Event) -> None:
        last = await _patiently(_newest)
        seen = {event.id for event in await _patiently(_since, last)}
        started.set()
        while self._listeners:
            for event in await _patiently(_since, last, seen):
                seen.add(event.id)
                last = max(last, event.id)
                self._send(event)
            seen = {event_id for event_id in seen if event_id > last - 2 * WAITING}
            await asyncio.sleep(POLL)

    def _send(self, event: Event) -> None:
        message = _as_sent(event)  # written once for all of them
        for queue, wanted in list(self._listeners.items()):
            if queue.full():
                self.leave(queue)  # its stream ends, and the next one begins with what was missed
            elif wanted(event):
                queue.put_nowait(message)

    def has(self, queue: asyncio.Queue[bytes]) -> bool:
        """Say whether events are still sent to a queue."""
        return queue in self._listeners


async def _patiently(read: Callable[..., Found], *arguments: Any) -> Found:
    """Return what `read` finds; while the database is away it waits, and its listeners stay."""
    while True:
        try:
            return await run_in_threadpool(read, *arguments)
        except OperationalError as error:
            log.warning("the event table cannot be read: %s", error)
            await asyncio.sleep(PAUSE)


def _newest() -> int:
    with reading() as session:
        return events.newest(session)


def _since(event_id: int, known: Container[int] = ()) -> list[Event]:
    with reading() as session:
        return events.since(session, event_id, known)


hub = Hub()


@router.get("/projects/{project_id}/events")
async def stream(request: Request, project: ViewableProject, after: EventId = None) -> EventSourceResponse:
    """Stream the events that came `after` one: a page names the newest one when it was made, later the last it saw."""
    return send_events(request, lambda event: event.project_id == project.id, after)


def send_events(request: Request, wanted: Wanted, after: int | None = None) -> EventSourceResponse:
    """Answer with the stream of the wanted events, which ends after a while.

    First come those missed since Last-Event-ID, or since `after`.
    """
    text = request.headers.get("Last-Event-ID", "")
    last_seen = int(text) if text.isascii() and text.isdigit() and len(text) < LONGEST_ID else after
    return EventSourceResponse(_events(wanted, last_seen), ping=15)


async def _events(wanted: Wanted, last_seen: int | None) -> AsyncIterator[bytes]:
    queue = hub.join(wanted)
    try:
        await hub.started()
        sent: set[int] = set()
        while last_seen is not None:  # a page of events at a time
            missed = await run_in_threadpool(_since, last_seen, sent)
            for event in missed:
                if wanted(event):
                    yield _as_sent(event)
            sent |= {event.id for event in missed}
            last_seen = missed[-1].id if missed and missed[-1].id > last_seen else None
        end = asyncio.get_running_loop().time() + STREAM_SECONDS
        while hub.has(queue) or not queue.empty():
            try:
                async with asyncio.timeout_at(end):
                    message = await queue.get()
            except TimeoutError:
                return
            yield message
    finally:
        hub.leave(queue)


def _as_sent(event: Event) -> bytes:
    return ServerSentEvent(json.dumps(event.payload), event=event.kind, id=str(event.id)).encode()
