"""Engine, sessions and the two ways to use one: `transaction()` writes, `reading()` reads.

Nothing else commits. SQLite runs in WAL mode with an fsync per commit; a writing transaction takes the write lock at
its start (BEGIN IMMEDIATE), because a lock upgrade in the middle fails at once instead of waiting.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any

from anyio import Semaphore
from anyio.lowlevel import RunVar
from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy import DateTime, Engine, MetaData, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from app.precedence import READERS, at_most

try:
    from pysqlite3 import dbapi2 as sqlite3  # bundles a SQLite without the WAL-reset bug
except ImportError:  # only Linux has the wheel
    import sqlite3

OLDEST_SAFE_SQLITE = (3, 51, 3)
POOL_SIZE = 40  # as many as the server has threads for requests
POOL: dict[str, Any] = {
    "pool_size": POOL_SIZE,
    "max_overflow": POOL_SIZE,
    "pool_use_lifo": True,  # a few connections with a warm cache, not one after the other with one of their own
    "hide_parameters": True,  # errors are logged and shown; names and hashes are nobody's business there
}
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "busy_timeout": "10000",  # ms
    "foreign_keys": "ON",
    "temp_store": "MEMORY",
    "cache_size": "-8000",  # KB of each of up to POOL_SIZE connections; the system caches the file as well
    "journal_size_limit": "67108864",
}

log = logging.getLogger(__name__)
Sessions = sessionmaker[Session](expire_on_commit=False)


class Base(DeclarativeBase):
    """Base of all tables; every constraint gets a name so that a migration can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite would otherwise hand back naive ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def make_engine(url: str) -> Engine:
    """Create an engine for SQLite or PostgreSQL (psycopg 3) with our settings."""
    if url.startswith("sqlite"):
        engine = create_engine(
            url,
            module=sqlite3,
            **POOL,
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if sqlite3.sqlite_version_info < OLDEST_SAFE_SQLITE:
            log.warning(
                "SQLite %s can corrupt a database written by several processes; install pysqlite3",
                sqlite3.sqlite_version,
            )
        return engine
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_pre_ping=True,
        **POOL,
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")


def _begin_sqlite(connection: Connection) -> None:
    reading_only = connection.get_execution_options().get("postgresql_readonly", False)
    connection.exec_driver_sql("BEGIN" if reading_only else "BEGIN IMMEDIATE")


def connect(url: str) -> Engine:
    """Make `url` the database of this process."""
    engine = make_engine(url)
    Sessions.configure(bind=engine)
    return engine


def engine() -> Engine:
    """Return the database of this process."""
    bind = Sessions.kw["bind"]
    if not isinstance(bind, Engine):
        raise RuntimeError("call app.db.connect first")
    return bind


def insert_into(session: Session, table: type[Base]) -> Any:
    """Return the INSERT of the session's database for a table, with its `on_conflict_do_...` clauses."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)


def after_commit(session: Session, send: Callable[[], None]) -> None:
    """Call `send` once the transaction of `session` is safely committed."""
    session.info.setdefault("after_commit", []).append(send)


@contextmanager
def transaction() -> Iterator[Session]:
    """Commit on success, roll back on error, then send what was queued with `after_commit`."""
    with Sessions() as session:
        with session.begin():
            yield session
        for send in session.info.pop("after_commit", []):
            send()


@contextmanager
def reading(*, gives_way: bool = False) -> Iterator[Session]:
    """Read one consistent state of the database; nothing can be written. `gives_way` to labels, see app.precedence."""
    reader = engine().execution_options(postgresql_readonly=True, gives_way=gives_way)
    if reader.dialect.name == "postgresql":  # SQLite does nothing else
        reader = reader.execution_options(isolation_level="REPEATABLE READ")
    with Sessions(bind=reader) as session, session.begin():
        yield session


def only_reads(session: Session) -> bool:
    """Say whether a session is one of `reading`."""
    return bool(session.get_bind().get_execution_options().get("postgresql_readonly"))


_writer = Lock()


@contextmanager
def writing() -> Iterator[Session]:
    """The transaction of a request that writes. SQLite has one writer, and lets others sleep for longer and longer;
    here a request is woken in its turn."""
    turn = _writer if engine().dialect.name == "sqlite" else nullcontext()
    with turn, transaction() as session:
        yield session


_writers = RunVar[Semaphore]("writers")


def _writing_turn() -> Semaphore:
    """Let as many requests that write have a session as there are threads. More would hold all connections while they
    wait for a thread, and all threads would wait for a connection. SQLite lets one of them write anyway. Of those that
    read few came in, see app.precedence."""
    return at_most(1 if engine().dialect.name == "sqlite" else POOL_SIZE - READERS, _writers)


async def request_session(request: Request) -> AsyncIterator[Session]:
    """Give a request its session: GET and HEAD read, everything else writes and commits before the answer leaves."""
    if request.method in ("GET", "HEAD"):
        async with contextmanager_in_threadpool(reading(gives_way=True)) as opened:
            yield opened
    else:
        async with _writing_turn(), contextmanager_in_threadpool(writing()) as opened:
            yield opened


# Scope "function": FastAPI would otherwise send the answer first and commit afterwards.
SessionDep = Annotated[Session, Depends(request_session, scope="function")]
