"""Fixtures: a real, migrated database per test, the application in process, and workers run by hand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient

from app import db, storage
from app.accounts import attempts, passwords
from app.accounts.service import start_session
from app.config import get_settings
from app.main import app
from app.models import User
from app.security import csrf_token
from tests import factories
from tests.fakes import CHEAP_HASHER
from workers import encoders, runner

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database made by the migrations; tests copy it."""
    path = tmp_path_factory.mktemp("database") / "fiftycells.db"
    engine = db.make_engine(f"sqlite:///{path}")
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    return path


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in this process waits until the disk has what was written: no test outlives a power cut."""
    monkeypatch.setitem(db.PRAGMAS, "synchronous", "OFF")
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(storage, "_flush", lambda _anywhere: None)


@pytest.fixture
def installation(migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh installation: its own data folder and database, no worker running. Yields the data folder."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "fiftycells.db").write_bytes(migrated_database.read_bytes())
    monkeypatch.setenv("FIFTYCELLS_DATA_DIR", str(data))
    monkeypatch.setenv("FIFTYCELLS_EMBEDDED_WORKER", "false")
    for variable in ("FIFTYCELLS_DATABASE_URL", "FIFTYCELLS_BROKER_URL"):
        monkeypatch.delenv(variable, raising=False)
    get_settings.cache_clear()
    attempts.memory.cache_clear()
    monkeypatch.setattr(passwords, "HASHER", CHEAP_HASHER)
    engine = db.connect(get_settings().resolved_database_url)
    yield data
    engine.dispose()
    get_settings.cache_clear()


@pytest.fixture
def client(installation: Path) -> Iterator[TestClient]:
    """A browser nobody has signed in with yet. It sends what a browser sends with a same-origin request."""
    with TestClient(app, base_url="http://testserver", headers={"Origin": "http://testserver"}) as browser:
        yield browser


@pytest.fixture
def sign_in(client: TestClient) -> Callable[[User], TestClient]:
    """Call it with a user: from then on the browser is theirs, and sends the CSRF token as our scripts do."""

    def as_user(user: User) -> TestClient:
        with db.transaction() as session:
            session_id = start_session(session, user)
        client.cookies.set("fiftycells", session_id)
        client.headers["X-CSRF-Token"] = csrf_token(session_id)
        return client

    return as_user


@pytest.fixture
def work(installation: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Call it to run all waiting jobs in this process, with the fake encoder; returns how many ran."""
    monkeypatch.setattr(encoders, "load", factories.load_fake_encoder)

    def run_all() -> int:
        count = 0
        while any(runner.run_next(queue, "test") for queue in ("slides", "embed", "fit", "train")):
            count += 1
        return count

    return run_all
