"""An installation with data is brought up to date, and loses nothing."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from app import db

ROOT = Path(__file__).parent.parent


def upgrade(connection: Connection, revision: str) -> None:
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


def test_the_first_tables_with_rows_become_the_present_ones(tmp_path: Path) -> None:
    engine = db.make_engine(f"sqlite:///{tmp_path / 'fiftycells.db'}")
    day = "2026-01-01 00:00:00"
    with engine.connect() as connection:
        upgrade(connection, "0001")
        for statement in (
            f"INSERT INTO encoder (id, sha256, name, dim, card, created_at) VALUES (1, 'e', 'e', 8, '{{}}', '{day}')",
            f"INSERT INTO project (id, name, synthetic, encoder_id, created_at) VALUES (1, 'P', 0, 1, '{day}')",
            "INSERT INTO cell_class (id, project_id, code, name, color, position, version) "
            "VALUES (1, 1, 'NGS', 'N', '#000000', 0, 1)",
        ):
            connection.execute(text(statement))
        connection.commit()
        upgrade(connection, "head")
        query = text("SELECT project.name, code FROM cell_class JOIN project ON project.id = project_id")
        assert connection.execute(query).all() == [("P", "NGS")]
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()
