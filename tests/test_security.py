"""What every answer carries and what every changing request must bring."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from app import db
from app.models import User
from app.security import HEADERS, csrf_token, install
from tests.factories import make_project, make_user

SignIn = Callable[[User], TestClient]


@pytest.fixture
def member(client: TestClient, sign_in: SignIn) -> TestClient:
    """A signed-in browser without any header that would prove where a request comes from."""
    sign_in(make_user())
    del client.headers["X-CSRF-Token"]
    del client.headers["Origin"]
    return client


def token(client: TestClient) -> str:
    return csrf_token(client.cookies["fiftycells"])


OURS = {"Origin": "http://testserver"}


@pytest.mark.parametrize(
    ("headers", "right_token", "status"),
    [
        (OURS, True, 303),
        ({"Sec-Fetch-Site": "same-origin"}, True, 303),
        (OURS, False, 403),
        ({"Sec-Fetch-Site": "same-origin"}, False, 403),
        ({}, True, 403),
        ({"Origin": "http://evil.example"}, True, 403),
        ({"Origin": "http://testserver.evil.example"}, True, 403),
        ({"Origin": "null"}, True, 403),
        ({"Sec-Fetch-Site": "cross-site", **OURS}, True, 403),
        ({"Sec-Fetch-Site": "same-site", **OURS}, True, 403),
        ({"Sec-Fetch-Site": "none", **OURS}, True, 403),
    ],
)
@pytest.mark.parametrize("place", ["field", "header"])
def test_only_our_own_pages_change_something(
    member: TestClient, headers: dict[str, str], right_token: bool, status: int, place: str
) -> None:
    sent = token(member) if right_token else csrf_token("another session")
    if place == "header":
        answer = member.post(
            "/account/name", data={"name": "Renamed"}, headers={"X-CSRF-Token": sent, **headers}, follow_redirects=False
        )
    else:
        answer = member.post(
            "/account/name", data={"name": "Renamed", "csrf_token": sent}, headers=headers, follow_redirects=False
        )
    assert answer.status_code == status
    assert ("Renamed" in member.get("/account").text) == (status == 303)


def test_a_form_without_token_is_refused(member: TestClient) -> None:
    assert member.post("/account/name", data={"name": "Renamed"}, headers=OURS).status_code == 403
    assert member.post("/account/name", content=b"name=Renamed", headers=OURS).status_code == 403


def test_the_sign_in_form_is_bound_to_the_browser_that_asked_for_it(client: TestClient) -> None:
    user = make_user()
    data = {"email": user.email, "password": "x"}
    assert client.post("/sign-in", data=data).status_code == 403, "no cookie"
    client.get("/sign-in")
    assert client.post("/sign-in", data=data).status_code == 403, "no token"
    assert client.post("/sign-in", data={**data, "csrf_token": csrf_token("theirs")}).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert client.post("/sign-in", data={**data, "csrf_token": token(client)}, headers=foreign).status_code == 403
    assert client.post("/sign-in", data={**data, "csrf_token": token(client)}).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/", "/sign-in", "/welcome/nothing", "/account", "/no/such/page", "/static/css/app.css", "/api/v1/projects/0"],
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str, accept: str) -> None:
    answer = client.get(path, headers={"Accept": accept}, follow_redirects=False)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == ("public, no-cache" if path.startswith("/static") else "no-store")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_project_pages_are_not_stored_and_style_sheets_may_be(client: TestClient, sign_in: SignIn) -> None:
    sign_in(make_user("manager"))
    project = make_project()
    assert client.get(f"/projects/{project.id}/classes").headers["cache-control"] == "no-store"
    assert "immutable" in client.get("/static/vendor/pico/pico-2.1.1.min.css").headers["cache-control"]


def test_an_unexpected_error_is_a_page_with_the_same_headers() -> None:
    app = FastAPI()
    install(app)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret reason")

    answer = TestClient(app, raise_server_exceptions=False).get("/broken", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "secret reason" not in answer.text
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == "no-store"


def test_streamed_answers_are_sent_piece_by_piece() -> None:
    app = FastAPI()
    install(app)
    sent: list[str] = []

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def pieces():
            for number in range(3):
                sent.append(f"made {number}")
                yield f"data: {number}\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def receive():
        await anyio.sleep_forever()  # the browser stays connected and says nothing

    async def send(message):
        if message.get("body"):
            sent.append(message["body"].decode().strip())

    scope = {
        "type": "http", "method": "GET", "path": "/stream", "raw_path": b"/stream", "query_string": b"",
        "headers": [], "scheme": "http", "server": ("test", 80), "client": ("test", 1), "asgi": {"version": "3.0"},
        "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    with TestClient(app) as browser:
        browser.portal.call(app, scope, receive, send)
    assert sent == ["made 0", "data: 0", "made 1", "data: 1", "made 2", "data: 2"]


def test_bodies_are_limited_announced_or_not(member: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {**OURS, "X-CSRF-Token": token(member), "Content-Type": "application/x-www-form-urlencoded"}
    fits = b"name=" + b"x" * 1000
    too_large = b"name=" + b"x" * (8 * 1024 * 1024)
    assert member.post("/account/name", content=fits, headers=headers).status_code == 422
    announced = member.post("/account/name", content=too_large, headers=headers)
    assert announced.status_code == 413
    assert "8 MB" in announced.json()["detail"]
    unannounced = member.post("/account/name", content=iter([too_large[:1000], too_large]), headers=headers)
    assert unannounced.status_code == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/slides/1/images", 401),  # streamed to disk, so it may be large, after the sender is known
        ("/uploads/1/files", 401),
        ("/slides/1/uploads", 413),  # JSON, which is in memory before anybody is asked who they are
        ("/uploads/1/complete", 413),
        ("/api/v1/slides/1/images", 401),
        ("/api/v1/slides/1/imagesx", 413),
    ],
)
def test_only_files_may_make_a_body_large(client: TestClient, path: str, status: int) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(9 * 1024 * 1024)}
    assert client.post(path, content=b"{}", headers=headers).status_code == status


@pytest.mark.parametrize("with_header", [True, False])
def test_a_slow_form_keeps_nobody_from_writing(
    client: TestClient, sign_in: SignIn, installation: Path, with_header: bool
) -> None:
    sign_in(make_user("manager"))
    project = make_project()
    if not with_header:
        del client.headers["X-CSRF-Token"]
    written = []

    def slowly() -> Iterator[bytes]:
        yield f"csrf_token={token(client)}&name=New".encode()
        other = db.sqlite3.connect(installation / "fiftycells.db", timeout=0.2, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # raises if the request holds the write lock already
        other.rollback()
        other.close()
        written.append(True)
        yield b"+name"

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/projects/{project.id}/settings"
    assert client.post(path, content=slowly(), headers=headers, follow_redirects=False).status_code == 303
    assert written
    assert "New name" in client.get(path).text


def test_https_makes_the_cookie_secure(client: TestClient) -> None:
    plain = client.get("/sign-in").headers["set-cookie"]
    assert plain.startswith("fiftycells=")
    assert "Secure" not in plain
    client.base_url = "https://testserver"
    answer = client.get("/sign-in")
    assert answer.headers["set-cookie"].startswith("__Host-fiftycells=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "strict-transport-security" in answer.headers


def test_a_large_form_is_read_only_for_people_who_are_signed_in(client: TestClient, sign_in: SignIn) -> None:
    client.cookies.set("fiftycells", "made up")
    form = {"files": ("cells.zip", b"x" * 1000), "csrf_token": (None, csrf_token("made up"))}
    assert client.post("/slides/1/images", files=form).status_code == 401
    sign_in(make_user())
    del client.headers["X-CSRF-Token"]
    form["csrf_token"] = (None, csrf_token("made up"))
    assert client.post("/slides/1/images", files=form).status_code == 403
    form["csrf_token"] = (None, token(client))
    assert client.post("/slides/1/images", files=form).status_code == 404
