"""An encoder trained further from the browser and by REST: done, paused, resumed, cancelled, refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import get_settings
from app.db import transaction
from app.encoders.service import register
from app.models import Project, Slide
from app.storage import get_storage
from tests import factories
from tests.browsing import error_of, submit
from tests.rest.conftest import Api
from tests.small_encoder import save_small_encoder
from workers import continuing
from workers.ml.encoders import load_encoder

SignIn = Callable[..., TestClient]
Work = Callable[[], int]


@pytest.fixture
def project(installation: Path) -> Project:
    """A project whose encoder is a small real one."""
    path = save_small_encoder(installation / "tiny.safetensors")
    project = factories.make_project()
    with transaction() as session:
        session.get_one(Project, project.id).encoder_id = register(session, path).id
    return project


@pytest.fixture
def slide(project: Project) -> Slide:
    slide = factories.make_slide(project)
    factories.make_cells(slide, ["NGS", "LYT"] * 150, queue=False)
    return slide


def folders() -> list[Path]:
    return sorted((get_settings().data_dir / "pretraining").glob("*"))


def test_an_encoder_is_trained_further_and_the_project_goes_on_with_its_own(
    api: Api,
    project: Project,
    slide: Slide,
    work: Work,
) -> None:
    client = api()
    begun = client.post(
        f"/projects/{project.id}/pretrainings", json={"epochs": 2, "scanner_id": slide.scanner_id, "most_images": 280}
    )
    assert (begun.status_code, begun.json()["state"]) == (202, "waiting")
    again = client.post(f"/projects/{project.id}/pretrainings", json={"epochs": 2})
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    work()
    run = client.get(f"/pretrainings/{begun.json()['id']}").json()
    assert (run["state"], run["problem"], [entry["epoch"] for entry in run["log"]]) == ("done", "", [1, 2])
    assert client.get(begun.headers["Location"].removeprefix("/api/v1")).json()["state"] == "done"
    made = load_encoder(get_storage().local_path(f"encoders/{run['encoder']['sha256']}"))
    assert made.card["images_seen"] == 280
    assert made.card["weights"] == run["start"]["sha256"]
    assert client.get(f"/projects/{project.id}").json()["name"] == project.name
    with transaction() as session:
        assert session.get_one(Project, project.id).encoder_id == run["start"]["id"]
    assert folders() == []


def test_a_run_rests_when_a_manager_says_so_and_goes_on_where_it_was(
    api: Api,
    project: Project,
    slide: Slide,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = api()
    begun = client.post(f"/projects/{project.id}/pretrainings", json={"epochs": 3}).json()
    address = f"/pretrainings/{begun['id']}"
    steps: list[int] = []
    told = continuing._Reporter.__call__

    def pause_at_two(reporter: Any, progress: Any) -> None:
        steps.append(progress.step)
        if len(steps) == 2:
            assert client.post(f"{address}/pause").json()["state"] == "pausing"
        told(reporter, progress)

    monkeypatch.setattr(continuing, "TELL_EVERY", 0)
    monkeypatch.setattr(continuing._Reporter, "__call__", pause_at_two)
    work()
    assert (client.get(address).json()["state"], steps, len(folders())) == ("paused", [1, 2], 1)
    assert client.post(f"{address}/pause").status_code == 409
    factories.make_cells(slide, ["NGS"], queue=False)  # what comes later does not change a run that was begun
    assert client.post(f"{address}/resume").status_code == 202
    work()
    assert (client.get(address).json()["state"], steps) == ("done", list(range(1, 7)))
    assert client.post(f"{address}/resume").status_code == 409


def test_a_cancelled_run_leaves_nothing_behind(api: Api, project: Project, slide: Slide, work: Work) -> None:
    client = api()
    begun = client.post(f"/projects/{project.id}/pretrainings", json={}).json()
    assert client.post(f"/pretrainings/{begun['id']}/pause").json()["state"] == "paused"
    assert client.post(f"/pretrainings/{begun['id']}/cancel").json()["state"] == "cancelled"
    work()
    assert client.get(f"/pretrainings/{begun['id']}").json()["state"] == "cancelled"
    assert folders() == []
    assert client.post(f"/projects/{project.id}/pretrainings", json={}).status_code == 202


def test_the_page_begins_pauses_and_says_what_is_wrong(
    project: Project, slide: Slide, sign_in: SignIn, work: Work
) -> None:
    page = f"/projects/{project.id}/pretraining"
    manager = sign_in(factories.make_user("manager"))
    empty = factories.make_scanner(project)
    values = {"epochs": 1, "most_images": 300}
    refused = submit(manager, page, scanner_id=empty.id, **values)
    assert (refused.status_code, error_of(refused, "scanner_id")) == (
        422, "There are 0 cells, and 256 are needed: upload more."
    )  # fmt: skip
    assert error_of(submit(manager, page, scanner_id="", epochs=0, most_images=300), "epochs") == "At least 1, please."
    assert submit(manager, page, scanner_id="", **values).status_code == 303
    assert "waiting" in manager.get(page).text
    work()
    done = manager.get(page).text
    assert "It made <b>tiny" in done
    assert "Same cell found" in done
    reader = sign_in(factories.make_user(member_of=project))
    assert "Start training" not in reader.get(page).text
