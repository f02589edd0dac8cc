"""Invitations, roles and passwords."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.accounts.service import first_manager_link
from app.db import now, reading, transaction
from app.models import AuditEvent, Invitation, User
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
