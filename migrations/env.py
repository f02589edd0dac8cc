"""Alembic environment; configured in code, so there is no ini file."""

from contextlib import contextmanager

from alembic import context

import app.models  # noqa: F401 (fills the metadata)
from app.config import get_settings
from app.db import Base, UtcDateTime, make_engine
from app.models.batch import CellIdArray

config = context.config
given = config.attributes.get("connection")


PLAIN = {UtcDateTime: "sa.DateTime(timezone=True)", CellIdArray: "sa.LargeBinary()"}


def render_item(kind, item, _context):
    """Write our own column types as the plain ones they store."""
    return PLAIN.get(type(item), False) if kind == "type" else False


def run(connection):
    """Migrate over one connection; SQLite rebuilds tables, so changes are rendered as batches."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=render_item,
        transactional_ddl=True,  # ours begins and ends transactions on SQLite too
    )
    with foreign_keys_off(connection), context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        before = context.get_context().get_current_heads()
        context.run_migrations()
        if connection.dialect.name == "sqlite" and context.get_context().get_current_heads() != before:
            lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if lost:
                raise RuntimeError(f"the migration would leave rows that refer to nothing: {lost[:10]}")


@contextmanager
def foreign_keys_off(connection):
    """Let SQLite drop a table that others refer to: that is how it changes one (sqlite.org/lang_altertable.html, 7).

    The setting counts for nothing inside of a transaction, so it goes past SQLAlchemy, which would begin one.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    sqlite = connection.connection.dbapi_connection
    sqlite.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        sqlite.execute("PRAGMA foreign_keys=ON")


if given is not None:
    run(given)
else:
    with make_engine(get_settings().resolved_database_url).connect() as connection:
        run(connection)
