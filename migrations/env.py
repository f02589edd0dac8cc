"""Alembic environment; configured in code, so there is no ini file."""

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
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        context.run_migrations()


if given is not None:
    run(given)
else:
    with make_engine(get_settings().resolved_database_url).connect() as connection:
        run(connection)
