"""A REST client for tests."""

import io
import zipfile
from collections.abc import Callable, Sequence

import pytest
from fastapi.testclient import TestClient

from app.main import app
from app.models import User
from app.projects import live, service
from tests import factories

Api = Callable[..., TestClient]


@pytest.fixture
def api(client: TestClient) -> Api:
    """Call it with a user (a new manager unless given): a client with their token, whose paths begin after /api/v1."""

    def of(user: User | None = None, scopes: Sequence[str] = ("read", "write")) -> TestClient:
        token = factories.make_token(user or factories.make_user("manager"), scopes)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(app, base_url="http://testserver/api/v1", headers=headers, raise_server_exceptions=False)

    return of


def zip_of(codes: Sequence[str], first: int = 0) -> bytes:
    """A ZIP with one cell image per code; equal arguments give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, code in enumerate(codes, first):
            archive.writestr(zipfile.ZipInfo(f"{code}-{number}.png"), factories.cell_image(code, number))
    return buffer.getvalue()


@pytest.fixture
def fake_encoder(installation: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """New projects use the fake encoder, as the jobs run by `work` do."""
    encoder = factories.make_encoder()
    monkeypatch.setattr(service, "default_encoder", lambda _session: encoder)


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event streams end at once instead of after ten minutes, because the test client waits for their end."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.2)
