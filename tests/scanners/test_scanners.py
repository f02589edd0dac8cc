"""Scanners of a project."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.models import User
from tests.browsing import error_of
from tests.factories import make_project, make_scanner, make_user

SignIn = Callable[[User], TestClient]


def test_scanners_are_added_and_changed(client: TestClient, sign_in: SignIn) -> None:
    project = make_project()
    url = f"/projects/{project.id}/scanners"
    sign_in(make_user("manager"))
    assert "No scanners yet" in client.get(url).text
    assert client.post(url, data={"name": " DM96 ", "um_per_px": "0.25"}, follow_redirects=False).status_code == 303
    assert "already a scanner" in error_of(client.post(url, data={"name": "DM96"}), "name")
    assert "A number" in error_of(client.post(url, data={"name": "Other", "um_per_px": "0"}), "um_per_px")

    other = make_scanner(project, name="Other")
    page = client.get(url).text
    assert "DM96" in page
    assert "0.25" in page
    assert error_of(client.post(f"/scanners/{other.id}", data={"name": "DM96"}), "name")
    values = {"name": "Renamed", "um_per_px": "0.5"}
    assert client.post(f"/scanners/{other.id}", data=values, follow_redirects=False).status_code == 303
    trail = client.get(f"/projects/{project.id}/audit").text
    assert "name: Other → Renamed" in trail
    assert "µm per pixel: none → 0.5" in trail


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_managers_change_a_scanner(client: TestClient, sign_in: SignIn, method: str) -> None:
    project = make_project()
    scanner = make_scanner(project)
    url, data = f"/scanners/{scanner.id}", {"name": "New"} if method == "POST" else None
    for user, status in (
        (make_user(), 404),
        (make_user(member_of=project), 403),
        (make_user("manager"), 303 if method == "POST" else 200),
    ):
        sign_in(user)
        assert client.request(method, url, data=data, follow_redirects=False).status_code == status
        assert client.request(method, "/scanners/999", data=data).status_code == (404)
