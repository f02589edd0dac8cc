"""API tokens: shown once, with a scope and an end."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.accounts.access import CurrentUser
from app.db import now, reading, transaction
from app.models import ApiToken, User
from tests.browsing import error_of, shown_secret, submit
from tests.factories import PASSWORD, make_user

SignIn = Callable[[User], TestClient]


@pytest.fixture(autouse=True)
def api(client: TestClient) -> None:
    """A reading and a writing endpoint of the API."""

    def whoami(user: CurrentUser) -> str:
        return user.name

    client.app.add_api_route("/api/v1/whoami", whoami, methods=["GET", "POST"])


def new_token(client: TestClient, access: str = "read", days: int = 90) -> str:
    page = client.post("/account/tokens", data={"token_name": "Scanner", "access": access, "days": days})
    return shown_secret(page)


def call(client: TestClient, token: str, method: str = "GET"):
    """Use the token as a program does: without cookies, Origin or CSRF token."""
    program = TestClient(client.app)
    return program.request(method, "/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})


def test_a_token_is_shown_once_and_stored_as_a_hash(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user())
    token = new_token(client)
    page = client.get("/account").text
    assert token not in page
    assert token[:8] in page
    with reading() as session:
        row = session.scalars(select(ApiToken)).one()
    assert token not in str(vars(row))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"days": 366}, "days"),
        ({"days": 0}, "days"),
        ({"days": "soon"}, "days"),
        ({"access": "all"}, "access"),
        ({"token_name": ""}, "token_name"),
    ],
)
def test_tokens_need_a_name_a_scope_and_an_end(client: TestClient, sign_in: SignIn, values, field: str) -> None:
    sign_in(make_user())
    refused = client.post("/account/tokens", data={"token_name": "Scanner", "access": "read", "days": 9, **values})
    assert refused.status_code == 422
    assert error_of(refused, field)
    with reading() as session:
        assert session.scalars(select(ApiToken)).all() == []


def test_revoked_and_expired_tokens_are_refused(client: TestClient, sign_in: SignIn) -> None:
    user, stranger, manager = make_user(), make_user(), make_user("manager")
    sign_in(user)
    first, second, third = (new_token(client) for _ in range(3))
    with reading() as session:
        ids = list(session.scalars(select(ApiToken.id).order_by(ApiToken.id)))
    for token in (first, second, third):
        assert call(client, token).status_code == 200

    sign_in(stranger)
    assert client.post(f"/account/tokens/{ids[0]}/revoke").status_code == 404
    sign_in(user)
    assert client.post(f"/account/tokens/{ids[0]}/revoke", follow_redirects=False).status_code == 303
    sign_in(manager)
    assert "Scanner" in client.get("/accounts").text
    assert client.post(f"/accounts/tokens/{ids[1]}/revoke", follow_redirects=False).status_code == 303
    with transaction() as session:
        session.execute(update(ApiToken).where(ApiToken.id == ids[2]).values(expires_at=now()))
    for token in (first, second, third, "fc_nonsense"):
        refused = call(client, token)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_scopes_are_kept(client: TestClient, sign_in: SignIn) -> None:
    user = make_user()
    sign_in(user)
    reader, writer = new_token(client, "read"), new_token(client, "write")
    assert [call(client, token, method).status_code for token in (reader, writer) for method in ("GET", "POST")] == [
        200,
        403,
        200,
        200,
    ]
    assert call(client, reader).json() == user.name


def test_the_last_use_of_a_token_is_noted_at_most_once_a_minute(client: TestClient, sign_in: SignIn) -> None:
    token = new_token(sign_in(make_user()), "write")

    def last_used(method: str, before: datetime | None) -> datetime:
        with transaction() as session:
            session.execute(update(ApiToken).values(last_used_at=before))
        assert call(client, token, method).status_code == 200
        with reading() as session:
            return session.scalars(select(ApiToken.last_used_at)).one()

    recent, old = now() - timedelta(seconds=50), now() - timedelta(seconds=70)
    for method in ("GET", "POST"):
        assert last_used(method, None) > recent
        assert last_used(method, recent) == recent
        assert last_used(method, old) > recent


def test_a_bearer_token_opens_the_api_only(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user())
    token = new_token(client)
    client.cookies.clear()
    assert client.get("/account", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_wrong_token_is_not_rescued_by_a_cookie(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user())
    assert client.get("/api/v1/whoami", headers={"Authorization": "Bearer fc_wrong"}).status_code == 401


def test_deactivating_ends_sessions_and_tokens_at_once(client: TestClient, sign_in: SignIn) -> None:
    manager, user = make_user("manager"), make_user()
    token = new_token(sign_in(user))
    theirs = client.cookies["fiftycells"]
    sign_in(manager)
    assert client.post(f"/accounts/{user.id}/deactivate", follow_redirects=False).status_code == 303
    client.cookies.set("fiftycells", theirs)
    assert client.get("/account").status_code == 401
    assert call(client, token).status_code == 401
    sign_in(manager)
    client.post(f"/accounts/{user.id}/activate")
    assert call(client, token).status_code == 401
    assert submit(client, "/sign-in", email=user.email, password=PASSWORD).status_code == 303
