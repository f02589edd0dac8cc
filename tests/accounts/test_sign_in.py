"""Signing in and out through the pages."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.accounts import passwords
from app.config import get_settings
from app.db import now, transaction
from app.models import SignIn
from tests.browsing import submit
from tests.factories import PASSWORD, make_user


def test_only_the_right_password_signs_in(client: TestClient) -> None:
    user = make_user()
    refused = submit(client, "/sign-in", email=user.email, password="something else entirely")
    unknown = submit(client, "/sign-in", email="nobody@lab.example", password=PASSWORD)
    assert (refused.status_code, unknown.status_code) == (401, 401)
    assert "do not go together" in refused.text
    assert unknown.text == refused.text.replace(user.email, "nobody@lab.example")
    assert client.get("/account", headers={"Accept": "text/html"}).url.path == "/sign-in"

    visit = client.cookies["fiftycells"]
    accepted = submit(client, "/sign-in", email=user.email.upper(), password=PASSWORD)
    assert accepted.status_code == 303
    assert client.cookies["fiftycells"] != visit, "the id a visitor came with must not become a session"
    cookie = accepted.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert user.name in client.get("/account").text


def test_a_deactivated_person_stays_out(client: TestClient) -> None:
    user = make_user(active=False)
    assert submit(client, "/sign-in", email=user.email, password=PASSWORD).status_code == 401


def test_an_unknown_address_costs_the_same_work(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    class CountingHasher:
        """The hasher of the test, counting how often it works."""

        hash = staticmethod(passwords.HASHER.hash)

        def verify_and_update(self, password: str, stored: str) -> tuple[bool, str | None]:
            checked.append(stored)
            return original.verify_and_update(password, stored)

    original = passwords.HASHER
    monkeypatch.setattr(passwords, "HASHER", CountingHasher())
    submit(client, "/sign-in", email=make_user().email, password="x")
    submit(client, "/sign-in", email="nobody@lab.example", password="x")
    assert len(checked) == 2


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/projects/3/cells?order=novel", "/projects/3/cells?order=novel"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\tevil", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_sign_in_goes_back_to_where_the_person_was(client: TestClient, wanted: str, reached: str) -> None:
    user = make_user()
    answer = submit(client, "/sign-in", email=user.email, password=PASSWORD, next=wanted)
    assert answer.headers["location"] == reached


def test_a_page_sends_visitors_to_sign_in_and_a_script_gets_401(client: TestClient) -> None:
    page = client.get("/account?from=mail", headers={"Accept": "text/html"}, follow_redirects=False)
    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?next=/account%3Ffrom%3Dmail"
    script = client.get("/account", headers={"Accept": "application/json"}, follow_redirects=False)
    assert script.status_code == 401
    assert script.headers["content-type"] == "application/problem+json"


def test_signing_out_ends_the_session_on_the_server(client: TestClient, sign_in) -> None:
    sign_in(make_user())
    session_id = client.cookies["fiftycells"]
    assert client.post("/sign-out", follow_redirects=False).status_code == 303
    client.cookies.set("fiftycells", session_id)
    assert client.get("/account").status_code == 401


@pytest.mark.parametrize("column", ["last_seen_at", "created_at"])
def test_sessions_end_when_idle_and_in_any_case(client: TestClient, sign_in, column: str) -> None:
    sign_in(make_user())
    settings = get_settings()
    limit = {
        "last_seen_at": timedelta(minutes=settings.session_idle_minutes),
        "created_at": timedelta(hours=settings.session_hours),
    }[column]
    with transaction() as session:
        session.execute(update(SignIn).values({column: now() - limit + timedelta(minutes=1)}))
    assert client.get("/account").status_code == 200
    with transaction() as session:
        session.execute(update(SignIn).values({column: now() - limit - timedelta(seconds=1)}))
    assert client.get("/account").status_code == 401


def test_use_is_noted_at_most_once_a_minute(client: TestClient, sign_in) -> None:
    sign_in(make_user())

    def last_seen(age: timedelta) -> timedelta:
        with transaction() as session:
            session.execute(update(SignIn).values(last_seen_at=now() - age))
        client.get("/account")
        with transaction() as session:
            return now() - session.query(SignIn).one().last_seen_at

    assert last_seen(timedelta(seconds=50)) > timedelta(seconds=49)
    assert last_seen(timedelta(seconds=70)) < timedelta(seconds=10)


def test_guessing_makes_an_account_wait(client: TestClient) -> None:
    user, other = make_user(), make_user()
    for _ in range(5):
        assert submit(client, "/sign-in", email=user.email, password="wrong").status_code == 401
    paused = submit(client, "/sign-in", email=user.email, password=PASSWORD)
    assert paused.status_code == 429
    assert int(paused.headers["retry-after"]) >= 1
    assert "Please wait" in paused.text
    assert submit(client, "/sign-in", email=other.email, password=PASSWORD).status_code == 303


def test_one_address_cannot_try_many_accounts(client: TestClient) -> None:
    answers = [submit(client, "/sign-in", email=f"p{n}@lab.example", password="x").status_code for n in range(31)]
    assert answers == [401] * 30 + [429]


def test_the_real_hasher_is_strong_enough() -> None:
    kind, parameters = passwords.HASHER.hash("x").split("$")[1:4:2]
    assert kind == "argon2id"
    assert int(parameters.split(",")[0].removeprefix("m=")) >= 19 * 1024
