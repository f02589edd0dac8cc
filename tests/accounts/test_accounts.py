"""Invitations, roles, passwords and API tokens."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.accounts.access import CurrentUser
from app.accounts.service import first_manager_link
from app.db import now, reading, transaction
from app.models import ApiToken, AuditEvent, Invitation, User
from tests.browsing import error_of, shown_secret, submit
from tests.factories import PASSWORD, make_user

SignIn = Callable[[User], TestClient]
STRONG = "three slides of blood"


def manager_link() -> str | None:
    with transaction() as session:
        return first_manager_link(session)


def audited() -> list[str]:
    with reading() as session:
        return list(session.scalars(select(AuditEvent.what).order_by(AuditEvent.id)))


def join(client: TestClient, link: str, **values: str):
    values = {"name": "Ada", "email": "ada@lab.example", "password": STRONG, "repeated": STRONG, **values}
    return submit(client, link.removeprefix("http://testserver").removeprefix("http://127.0.0.1:8000"), **values)


def test_the_first_manager_comes_in_by_a_link_that_works_once(client: TestClient) -> None:
    older, link = manager_link(), manager_link()
    assert link.startswith("http://127.0.0.1:8000/welcome/")
    path = link.removeprefix("http://127.0.0.1:8000")
    assert client.get(older.removeprefix("http://127.0.0.1:8000")).status_code == 404

    assert join(client, link).status_code == 303
    assert "Accounts" in client.get("/account").text, "signed in, as manager"
    assert client.get(path).status_code == 404
    assert client.post(path, data={}, headers={"X-CSRF-Token": ""}).status_code == 403
    assert manager_link() is None
    assert audited() == ["user.joined"]


def test_links_expire(client: TestClient) -> None:
    link = manager_link()
    with transaction() as session:
        session.execute(update(Invitation).values(expires_at=now() - timedelta(seconds=1)))
    assert client.get(link.removeprefix("http://127.0.0.1:8000")).status_code == 404


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"name": " "}, "name", "fill this in"),
        ({"email": "ada"}, "email", "name@lab.example"),
        ({"email": "Taken@lab.example"}, "email", "already an account"),
        ({"password": "short", "repeated": "short"}, "password", "At least 12"),
        ({"password": "Password1234", "repeated": "Password1234"}, "password", "first ones anybody"),
        ({"password": "aaaaaaaaaaaaaaa", "repeated": "aaaaaaaaaaaaaaa"}, "password", "first ones anybody"),
        (
            {"email": "hanna@lab.example", "password": "hanna is great", "repeated": "hanna is great"},
            "password",
            "name",
        ),
        ({"repeated": "something else"}, "repeated", "not the same"),
    ],
)
def test_the_welcome_form_says_what_is_wrong(
    client: TestClient, values: dict[str, str], field: str, reason: str
) -> None:
    make_user(email="taken@lab.example")
    link = manager_link()
    refused = join(client, link, **values)
    assert refused.status_code == 422
    assert reason in error_of(refused, field)
    assert STRONG not in refused.text, "a password is never sent back"
    assert join(client, link).status_code == 303, "the link still works"


def test_managers_invite_others_who_get_that_role(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user("manager"))
    page = client.post("/accounts/invitations", data={"role": "reviewer"})
    link = shown_secret(page)
    assert link.startswith("http://testserver/welcome/")
    token = link.rpartition("/")[2]
    assert token not in client.get("/accounts").text
    assert client.post("/accounts/invitations", data={"role": "owner"}).status_code == 422

    del client.headers["X-CSRF-Token"]
    client.cookies.clear()
    assert join(client, link).status_code == 303
    assert "reviewer" in client.get("/account").text
    assert client.get("/accounts").status_code == 403


def test_a_withdrawn_invitation_does_not_work(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user("manager"))
    link = shown_secret(client.post("/accounts/invitations", data={"role": "manager"}))
    with reading() as session:
        invitation = session.scalars(select(Invitation)).one()
    assert client.get(link).status_code == 200
    client.post(f"/accounts/invitations/{invitation.id}/withdraw")
    assert client.get(link).status_code == 404


def test_a_password_link_ends_all_sessions_of_that_person(client: TestClient, sign_in: SignIn) -> None:
    user, manager = make_user(), make_user("manager")
    sign_in(user)
    theirs = client.cookies["fiftycells"]
    sign_in(manager)
    link = shown_secret(client.post(f"/accounts/{user.id}/password-link"))

    del client.headers["X-CSRF-Token"]
    client.cookies.clear()
    assert submit(client, link.removeprefix("http://testserver"), password=STRONG, repeated=STRONG).status_code == 303
    assert user.name in client.get("/account").text
    client.cookies.clear()
    client.cookies.set("fiftycells", theirs)
    assert client.get("/account").status_code == 401
    client.cookies.clear()
    assert submit(client, "/sign-in", email=user.email, password=PASSWORD).status_code == 401
    assert submit(client, "/sign-in", email=user.email, password=STRONG).status_code == 303


def test_changing_the_password_signs_out_all_other_browsers(client: TestClient, sign_in: SignIn) -> None:
    user = make_user()
    sign_in(user)
    other = client.cookies["fiftycells"]
    sign_in(user)
    wrong = client.post("/account/password", data={"current": "no", "password": STRONG, "repeated": STRONG})
    assert "not your present password" in error_of(wrong, "current")

    good = {"current": PASSWORD, "password": STRONG, "repeated": STRONG}
    answer = client.post("/account/password", data=good, follow_redirects=False)
    assert answer.status_code == 303
    new = re.search(r"fiftycells=([^;]+)", answer.headers["set-cookie"])[1]
    for session_id, status in ((new, 200), (other, 401)):
        client.cookies.clear()
        client.cookies.set("fiftycells", session_id)
        assert client.get("/account").status_code == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/accounts"),
        ("POST", "/accounts/invitations"),
        ("POST", "/accounts/invitations/1/withdraw"),
        ("POST", "/accounts/{id}/role"),
        ("POST", "/accounts/{id}/deactivate"),
        ("POST", "/accounts/{id}/activate"),
        ("POST", "/accounts/{id}/password-link"),
        ("POST", "/accounts/tokens/1/revoke"),
    ],
)
@pytest.mark.parametrize("role", ["technician", "reviewer"])
def test_only_managers_administer_people(
    client: TestClient, sign_in: SignIn, role: str, method: str, path: str
) -> None:
    other = make_user()
    path = path.format(id=other.id)
    assert client.request(method, path).status_code == 401
    sign_in(make_user(role))
    assert client.request(method, path, data={"role": "manager"} if method == "POST" else None).status_code == 403
    assert audited() == []


def test_the_last_manager_stays(client: TestClient, sign_in: SignIn) -> None:
    manager = make_user("manager")
    make_user("manager", active=False)
    sign_in(manager)
    for act, values in (("role", {"role": "reviewer"}), ("deactivate", {})):
        refused = client.post(f"/accounts/{manager.id}/{act}", data=values, headers={"Accept": "text/html"})
        assert refused.status_code == 409
        assert "last manager" in refused.text
    other = make_user("manager")
    assert (
        client.post(f"/accounts/{manager.id}/role", data={"role": "reviewer"}, follow_redirects=False).status_code
        == 303
    )
    assert client.get("/accounts").status_code == 403
    sign_in(other)
    assert client.post(f"/accounts/{other.id}/deactivate").status_code == 409


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
