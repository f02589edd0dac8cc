"""What all REST endpoints share: one kind of route, answers given once, cursor pages, ETags, documented problems.

A POST may carry an `Idempotency-Key`. The answer is stored in the transaction of the effect, so a crash leaves both or
neither, and a repeat of the request gets the same answer instead of a second effect.
"""

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.accounts.access import CurrentUser
from app.db import SessionDep, insert_into, now
from app.errors import Conflict, Invalid, PreconditionFailed
from app.forms import LARGEST_ID
from app.language import _
from app.models import IdempotencyKey, User
from app.secret import keyed

PREFIX = "/api/v1"
KEEP_ANSWERS = timedelta(hours=24)
MOST_ITEMS = 1000  # in one page

T = TypeVar("T")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FieldProblem(BaseModel):
    """A field that was refused, and why."""

    field: str
    reason: str


class Problem(BaseModel):
    """Every error, as RFC 9457 describes it; `detail` is meant to be read by people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = Field(None, description="Which fields were refused, if any.")


REASONS = {
    400: "The body could not be read.",
    401: "No token, or one that is unknown, revoked or has expired.",
    403: "The token may not write, or the person may not do this.",
    404: "There is no such thing, or it is not yours to see.",
    409: "The state of the record does not allow it, or a request with this Idempotency-Key is still being answered.",
    410: "The time for keeping this original is over, and it was deleted.",
    412: "Somebody else changed it since it was read (If-Match), or the version of a protocol is another.",
    413: "The body is larger than this installation accepts.",
    422: "A field or parameter is not accepted, or the Idempotency-Key was used for another request.",
    423: "Another request is at work on it. Repeat a little later.",
    507: "The disk of the server is full; nothing was stored.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of error answers, for `responses=` of a route."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    return {status: {"description": REASONS[status], "content": content} for status in statuses}


class _Repeated(Exception):
    """The request was answered before."""

    def __init__(self, answer: IdempotencyKey) -> None:
        self.answer = answer


_being_answered: set[tuple[str, str]] = set()  # credentials and key of the requests this process works on


class RestRoute(APIRoute):
    """A route that documents its error answers and answers a POST with an Idempotency-Key once."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        methods = set(options.get("methods") or ["GET"])
        statuses = [401, 403, 422]
        if "{" in path:
            statuses.append(404)
        if not methods <= {"GET", "DELETE"}:
            statuses += [400, 413]
        if "POST" in methods:
            statuses.append(409)
            # Last, so that a route can receive a long body before the transaction begins.
            options["dependencies"] = [*(options.get("dependencies") or []), Depends(answer_once)]
        options["responses"] = {**problems(*sorted(statuses)), **(options.get("responses") or {})}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Return what answers a request; the transaction is still open when it returns."""
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST":
                return await handle(request)
            mark = (request.headers.get("authorization") or request.headers.get("cookie", ""), key)
            if mark in _being_answered:
                raise Conflict(
                    _("A request with this Idempotency-Key is still being answered. Repeat it a little later.")
                )
            _being_answered.add(mark)
            try:
                response = await handle(request)
                _remember(request.state.answer, response)
            except _Repeated as repeated:
                return _replay(repeated.answer)
            finally:
                _being_answered.discard(mark)
            return response

        return handle_once


async def answer_once(
    request: Request,
    user: CurrentUser,
    session: SessionDep,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="Your name for this request. Sent again with it within 24 hours, the request gets its first "
            "answer again (with the header `Idempotency-Replayed: true`) and has no second effect.",
        ),
    ] = None,
) -> None:
    """Find out whether this request was answered before. Raises Invalid if its key was used for another one."""
    if key is None:
        return
    body = getattr(request.state, "body_sha256", None) or hashlib.sha256(await request.body()).hexdigest()
    # Both are keyed: names that clients choose hold accession numbers, and a plain hash of so little could be guessed.
    request_hash = keyed("request", f"{request.method} {request.url.path} {body}")
    request.state.answer = await run_in_threadpool(_begin, session, user, keyed("idempotency", key), request_hash)


def _begin(session: Session, user: User, key: str, request_hash: str) -> IdempotencyKey:
    mine = (IdempotencyKey.user_id == user.id) & (IdempotencyKey.key == key)
    session.execute(delete(IdempotencyKey).where(mine, IdempotencyKey.created_at < now() - KEEP_ANSWERS))
    row = {"user_id": user.id, "key": key, "request_sha256": request_hash, "created_at": now()}
    # Waits for another process that is answering the same request; the row is there once that has committed.
    new = insert_into(session, IdempotencyKey).values(row).on_conflict_do_nothing().returning(IdempotencyKey)
    answer: IdempotencyKey | None = session.scalar(new)
    if answer is not None:
        return answer
    earlier = session.scalars(select(IdempotencyKey).where(mine)).one()
    if earlier.request_sha256 != request_hash:
        raise Invalid(_("Idempotency-Key: this key was used for another request. Choose a new one for each request."))
    raise _Repeated(earlier)


def _remember(answer: IdempotencyKey, response: Response) -> None:
    """Keep an answer; it is committed together with the effect. Errors roll both back, so they are never kept."""
    answer.status = response.status_code
    answer.location = response.headers.get("location")
    answer.body = bytes(response.body)


def _replay(answer: IdempotencyKey) -> Response:
    headers = {"Idempotency-Replayed": "true"}
    if answer.location:
        headers["Location"] = answer.location
    return Response(answer.body, answer.status or HTTPStatus.OK, headers, media_type="application/json")


bearer = HTTPBearer(auto_error=False, description="An API token; people make theirs on the page Account.")


def rest_router(tag: str) -> APIRouter:
    """Return the router of a feature's endpoints."""
    return APIRouter(tags=[tag], route_class=RestRoute, dependencies=[Depends(bearer)])


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


class Paging(BaseModel):
    """Which page of a list is wanted."""

    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="Items per page.")
    cursor: str = Field("", max_length=200, description="`next_cursor` of the page before; empty for the first.")

    @property
    def after(self) -> int:
        """The id the page begins after, of lists in the order of ids. Raises Invalid."""
        if self.cursor == "":
            return 0
        if not (self.cursor.isascii() and self.cursor.isdecimal() and int(self.cursor) <= LARGEST_ID):
            raise Invalid(_("cursor: this is not a cursor of this list; leave it out to start anew."))
        return int(self.cursor)


PagingQuery = Annotated[Paging, Query()]


def rows_of_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    by: InstrumentedAttribute[int],
    paging: Paging,
    *,
    descending: bool = False,
) -> tuple[Sequence[Any], str | None]:
    """Return the rows of a page in the order of the id column `by`, which comes first in a row, and the next cursor."""
    if descending:
        query = query.where(by < paging.after) if paging.cursor else query
    else:
        query = query.where(by > paging.after)
    rows = session.execute(query.order_by(by.desc() if descending else by).limit(paging.limit + 1)).all()
    shown = rows[: paging.limit]
    return shown, str(shown[-1][0]) if len(rows) > len(shown) else None


IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", description="The ETag that was read. The change is refused (412) if it is no longer current."
    ),
]


def etag(*parts: Any) -> str:
    """Return the entity tag of a state, made of whatever changes with it."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"'


def require_match(if_match: str | None, current: str) -> None:
    """Raise PreconditionFailed if the client has read another state than the `current` one."""
    if if_match is None or if_match.strip() == "*":
        return
    if current not in (tag.strip() for tag in if_match.split(",")):
        raise PreconditionFailed(
            _("Somebody else changed this since you read it. Read it again, then repeat the change.")
        )
