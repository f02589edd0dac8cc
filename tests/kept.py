"""All that an installation keeps, for tests that look for what it must not keep."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path


def everything_kept(installation: Path) -> Iterator[tuple[str, bytes]]:
    """Yield where and what: every value of the database, and every file but the database's own."""
    connection = sqlite3.connect(installation / "fiftycells.db")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for number, row in enumerate(connection.execute(f'SELECT * FROM "{table}"')):
            yield f"{table} {number}", b"\0".join(_bytes(value) for value in row)
    connection.close()
    for path in installation.rglob("*"):
        if path.is_file() and not path.name.startswith("fiftycells.db"):
            yield str(path.relative_to(installation)), path.name.encode() + path.read_bytes()


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
