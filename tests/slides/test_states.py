"""The states of a slide: what brings it on, by itself and by its sender, and what does not."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.config import get_settings
from app.db import reading, transaction
from app.job import Job
from app.models import Slide, SlideState
from app.slides import states
from tests import factories
from tests.slides.uploading import begin, complete, picture, pictures, send, upload
from workers import housekeeping

Work = Callable[[], int]


def state_of(slide: Slide) -> str:
    with reading() as session:
        return session.get_one(Slide, slide.id).state


def passed(slide: Slide) -> list[str]:
    with reading() as session:
        query = select(SlideState.state).where(SlideState.slide_id == slide.id).order_by(SlideState.id)
        return list(session.scalars(query))


@pytest.fixture
def rest(client: TestClient, slide: Slide) -> TestClient:
    """A REST client that may write."""
    token = factories.make_token(factories.make_user("manager"))
    return TestClient(client.app, base_url="http://testserver/api/v1", headers={"Authorization": f"Bearer {token}"})


def send_by_rest(rest: TestClient, slide: Slide, data: bytes) -> int:
    return rest.post(f"/slides/{slide.id}/images", files={"files": ("a.png", data)}).status_code


def test_the_upload_of_a_browser_completes_its_slide(browser: TestClient, slide: Slide, work: Work) -> None:
    first, second = begin(browser, slide, 2), begin(browser, slide, 2)
    for upload_id, start in ((first, 0), (second, 2)):
        send(browser, upload_id, pictures(1, start))
    complete(browser, first)
    work()
    assert state_of(slide) == "receiving"  # another upload is not over
    assert "refused" not in complete(browser, second).text
    work()
    assert state_of(slide) == "needs_review"
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert "needs review" in page
    assert "All images are here" not in page


def test_a_client_completes_a_slide_that_has_images_and_later_ones_open_it_again(
    rest: TestClient, slide: Slide, work: Work
) -> None:
    assert "No image" in rest.post(f"/slides/{slide.id}/complete").json()["detail"]
    assert send_by_rest(rest, slide, picture(1)) == 202
    done = rest.post(f"/slides/{slide.id}/complete")
    assert (done.status_code, done.json()["state"]) == (202, "queued")
    assert done.headers["Location"] == f"/api/v1/slides/{slide.id}"
    work()
    assert rest.post(f"/slides/{slide.id}/complete").json()["state"] == "needs_review"
    assert send_by_rest(rest, slide, picture(2)) == 202
    assert state_of(slide) == "receiving"
    found = rest.get(f"/projects/{slide.project_id}/slides?state=receiving").json()["items"]
    assert [each["id"] for each in found] == [slide.id]


def test_a_signed_slide_takes_no_more_images(rest: TestClient, browser: TestClient, slide: Slide, work: Work) -> None:
    upload(browser, slide, pictures(1))
    work()
    with transaction() as session:
        states.move(session, session.get_one(Slide, slide.id), "signed")
    assert send_by_rest(rest, slide, picture(2)) == 409
    refused = browser.post(
        f"/slides/{slide.id}/uploads", json={"kind": "cells", "expected_files": 1, "expected_bytes": 1}
    )
    assert (refused.status_code, "signed" in refused.text) == (409, True)


def test_a_slide_whose_sender_falls_silent_is_completed(
    rest: TestClient, slide: Slide, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_by_rest(rest, slide, picture(1))
    work()
    housekeeping.complete_slides()
    assert state_of(slide) == "receiving"
    monkeypatch.setenv("FIFTYCELLS_COMPLETE_AFTER_SECONDS", "0")
    get_settings.cache_clear()
    housekeeping.complete_slides()
    work()
    assert state_of(slide) == "needs_review"


def test_work_that_was_given_up_fails_the_slide_until_it_is_done_after_all(
    browser: TestClient, slide: Slide, work: Work
) -> None:
    upload(browser, slide, pictures(2))
    with transaction() as session:
        session.execute(update(Job).where(Job.kind == "slides.unpack").values(state="dead", message="no disk"))
    housekeeping.settle_slides()
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert (state_of(slide), "no disk" in page) == ("failed", True)
    with transaction() as session:
        session.execute(update(Job).values(state="queued", attempts=0))
    work()
    assert passed(slide)[-3:] == ["failed", "processing", "needs_review"]


def test_a_slide_without_a_single_cell_fails_in_words(browser: TestClient, slide: Slide, work: Work) -> None:
    upload(browser, slide, [("note.png", b"no image")])
    work()
    assert state_of(slide) == "failed"
    assert "No cell was found" in browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    upload(browser, slide, pictures(1))
    work()
    assert state_of(slide) == "needs_review"
