"""A scanner is watched day by day through pages and REST: limits, alarms, and what people make of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app import jobs
from app.db import now, reading, transaction
from app.models import Cell, CellClass, Delivery, Reading, Scanner, Slide
from app.watching.charts import REFERENCE_DAYS
from tests import factories
from tests.browsing import error_of
from tests.reports.conftest import LOOKS, Api, Lab, SignIn, api, lab

__all__ = ["Api", "api", "lab"]

FIRST = now().replace(hour=9)  # the slide of `lab` came today


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WATCH_PAUSE", timedelta(0))


@pytest.fixture
def manager(lab: Lab, sign_in: SignIn) -> Any:
    return sign_in(factories.make_user("manager", name="Ada"))


def seen_on(lab: Lab, day: int, looks: Sequence[str], scanner: Scanner | None = None) -> None:
    """A slide of the scanner that came on a day, counted from the first."""
    slide = factories.make_slide(lab.project, scanner=scanner or lab.scanner)
    with transaction() as session:
        session.get_one(Slide, slide.id).created_at = FIRST + timedelta(days=day)
    factories.make_cells(slide, looks)
    lab.work()
    lab.rest.post(f"/slides/{slide.id}/complete").raise_for_status()
    lab.work()


def watch_reference(lab: Lab) -> None:
    """As many days as a reference takes; on the first there is the slide of `lab`."""
    lab.activate()
    for day in range(1, REFERENCE_DAYS):
        seen_on(lab, day, LOOKS * 2 if day % 2 else LOOKS)


def watching(lab: Lab) -> Any:
    return lab.get(f"/scanners/{lab.scanner.id}/watching")


def page(client: Any, lab: Lab) -> str:
    return " ".join(client.get(f"/scanners/{lab.scanner.id}/watching").raise_for_status().text.split())


def out(item: Any) -> set[str]:
    return {name for name, point in item["days"][-1]["figures"].items() if point["out"]}


def test_a_scanner_that_changes_raises_alarms_until_somebody_does_something(lab: Lab, manager: Any) -> None:
    address = f"/projects/{lab.project.id}/webhooks"
    manager.post(address, data={"url": "https://lis.example/", "events": "scanner.alarm"}).raise_for_status()
    assert "Nothing to watch yet" in page(manager, lab)
    watch_reference(lab)
    seen_on(lab, REFERENCE_DAYS, LOOKS)
    found = watching(lab)
    assert [day["cells"] for day in found["days"]] == [20, 40] * 5 + [20]
    assert (out(found), found["alarms"]) == (set(), [])
    assert "left its limits" not in page(manager, lab)

    seen_on(lab, REFERENCE_DAYS + 1, ["another stain"] * 20)
    found = watching(lab)
    assert {"novelty", "shift"} <= out(found) == {alarm["chart"] for alarm in found["alarms"]}
    assert_told_everywhere(lab, manager, found["alarms"])
    assert_settled(lab, manager, found["alarms"])
    seen_on(lab, REFERENCE_DAYS + 2, ["another stain"] * 20)
    again = [alarm["chart"] for alarm in watching(lab)["alarms"] if not alarm["settled_at"]]
    assert len(again) == len(set(again)) > 0
    assert_begun_anew(lab, manager)


def assert_told_everywhere(lab: Lab, manager: Any, alarms: list[Any]) -> None:
    assert "left its limits" in page(manager, lab)
    for other in ("slides", "scanners"):
        assert "Alarm</span>" in manager.get(f"/projects/{lab.project.id}/{other}").text
    assert "before you sign" in lab.page
    with reading() as session:
        told = session.scalar(select(func.count()).where(Delivery.event == "scanner.alarm"))
    assert told == len(alarms)


def assert_settled(lab: Lab, manager: Any, alarms: list[Any]) -> None:
    for alarm in alarms:
        address = f"/alarms/{alarm['id']}/settlement"
        assert "Say what was found or done" in manager.post(address, data={"note": " "}).text
        assert manager.post(address, data={"note": "Stain renewed"}, follow_redirects=False).status_code == 303
        assert manager.post(address, data={"note": "Again"}).status_code == 409
    assert "Stain renewed" in page(manager, lab)
    assert "Alarm settled" in manager.get(f"/projects/{lab.project.id}/audit").text
    assert "Alarm</span>" not in manager.get(f"/projects/{lab.project.id}/slides").text


def assert_begun_anew(lab: Lab, manager: Any) -> None:
    address = f"/scanners/{lab.scanner.id}/watching"
    assert error_of(manager.post(address, data={"reason": ""}), "reason")
    assert manager.post(address, data={"reason": "Serviced"}, follow_redirects=False).status_code == 303
    assert watching(lab)["days"] == []
    seen_on(lab, -1, LOOKS)  # it came before
    assert watching(lab)["days"] == []
    assert "New reference" in manager.get(f"/projects/{lab.project.id}/audit").text
    other = factories.make_scanner(lab.project)
    assert manager.post(f"/scanners/{other.id}/watching", data={"reason": "Serviced"}).status_code == 409


def test_a_control_slide_is_scanned_again_and_compared(lab: Lab, manager: Any) -> None:
    lab.activate()
    address, again = f"/scanners/{lab.scanner.id}/controls", {}
    assert error_of(manager.post(address, data={"slide_id": lab.slide.id, "accession": ""}), "accession")
    other = factories.make_slide(lab.project)
    assert error_of(manager.post(address, data={"slide_id": other.id, "accession": "R"}), "slide_id")
    for name, looks in (("Same", LOOKS), ("Unlike", ["LYT"] * 20)):
        made = manager.post(address, data={"slide_id": lab.slide.id, "accession": name}, follow_redirects=False)
        slide_id = int(made.headers["location"].rpartition("/")[2])
        with reading() as session:
            slide = session.get_one(Slide, slide_id)
        assert "waits for its report" in page(manager, lab)
        factories.make_cells(slide, looks)
        lab.work()
        lab.rest.post(f"/slides/{slide_id}/complete").raise_for_status()
        lab.work()
        again[name] = slide_id
    found = {each["slide_id"]: each for each in watching(lab)["controls"]}
    assert not found[again["Same"]]["differs"]
    assert found[again["Unlike"]]["differs"]
    assert sum(first for first, _again in found[again["Same"]]["counts"].values()) == 20
    assert [day["cells"] for day in watching(lab)["days"]] == [20]  # no patient
    refused = lab.rest.post(f"/slides/{again['Same']}/runs", json={"accession": "Third"})
    assert (refused.status_code, "first one" in refused.text) == (409, True)


def audited(lab: Lab, slide: Slide, agree: int) -> None:
    """As many cells of a slide as agree with their hidden prediction, and one that does not."""
    with transaction() as session:
        cells = session.scalars(select(Cell.id).where(Cell.slide_id == slide.id).order_by(Cell.id)).all()
        known = session.scalars(select(CellClass.id).where(CellClass.project_id == lab.project.id)).all()
        for number, cell in enumerate(cells[: agree + 1]):
            about = {"project_id": lab.project.id, "cell_id": cell, "user_id": lab.reviewer.id, "kind": "blind"}
            classes = {"class_id": known[0], "predicted_id": known[0 if number else 1]}
            session.add(Reading(**about, **classes, action=f"audit-{cell}", created_at=now()))


def test_the_audit_is_charted_by_the_day_of_the_slide_and_not_of_control_slides(lab: Lab, manager: Any) -> None:
    lab.activate()
    accuracy = watching(lab)["days"][0]["figures"]["accuracy"]
    assert (accuracy["value"], accuracy["z"]) == (None, None)
    audited(lab, lab.slide, agree=3)
    again = lab.rest.post(f"/slides/{lab.slide.id}/runs", json={"accession": "Again"}).json()["slide_id"]
    with reading() as session:
        control = session.get_one(Slide, again)
    factories.make_cells(control, LOOKS)
    audited(lab, control, agree=0)
    assert watching(lab)["days"][0]["figures"]["accuracy"]["value"] == 0.75
    assert "75.0 %" in page(manager, lab)


def test_another_classifier_begins_a_new_reference_and_a_day_of_few_cells_is_not_judged(lab: Lab, manager: Any) -> None:
    lab.activate()
    for cells in (19, 1):
        assert [day["cells"] for day in watching(lab)["days"]] == [20]
        seen_on(lab, 1, ["NGS"] * cells)
    assert [day["cells"] for day in watching(lab)["days"]] == [20, 20]
    lab.label(dict.fromkeys(list(lab.cells)[:3], "NGS"))
    lab.activate()
    assert watching(lab)["days"] == []
    seen_on(lab, 2, LOOKS)
    assert [day["slides"] for day in watching(lab)["days"]] == [1]
