"""Review, signature and amendment of a report through its pages, read through REST."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import now, reading, transaction
from app.encoders import service as encoders
from app.models import AuditEvent, Encoder, Project, Report
from tests import factories
from tests.fakes import FakeEncoder
from tests.reports.conftest import Lab, SignIn


def counts(differential: Any) -> dict[str, int]:
    return {row["class"]: row["count"] for row in differential["classes"] if row["count"]}


def looks(lab: Lab, look: str) -> list[int]:
    return [cell for cell, each in lab.cells.items() if each == look]


def audited(lab: Lab) -> list[str]:
    with reading() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.what.like("report.%")).order_by(AuditEvent.id))
        return [event.what for event in events if event.detail["accession"] == lab.slide.accession]


def stored(lab: Lab, session: Session) -> Report:
    return session.scalars(select(Report).where(Report.slide_id == lab.slide.id)).one()


def test_a_report_follows_the_newest_version_until_one_reports_for_the_scanner(lab: Lab) -> None:
    first = lab.differential
    assert (first["preliminary"], first["classifier"]["version"], first["version"]) == (True, 1, 1)
    assert "Preliminary" in lab.page
    lab.label(dict.fromkeys(looks(lab, "NGS")[:2], "NGS"))
    assert lab.differential["classifier"]["version"] == 2
    assert lab.activate() == 2
    reported = lab.differential
    assert (reported["preliminary"], reported["classifier"]["state"]) == (False, "reporting")
    assert "Preliminary" not in lab.page
    lab.label(dict.fromkeys(looks(lab, "LYT")[:2], "LYT"))
    later = lab.differential
    assert later["classifier"] == reported["classifier"]  # labels make version 3, which reports for nobody
    assert audited(lab) == ["report.classified"]


def test_the_same_version_gives_the_same_numbers(lab: Lab) -> None:
    lab.activate()
    made, cells = lab.content["made"], lab.content["cells"]
    with transaction() as session:
        report = stored(lab, session)
        report.scores, report.scores_sha256, report.bound = None, "", False
    lab.post("classification")
    lab.work()
    again = lab.content
    assert again["made"]["classified_at"] > made["classified_at"]
    assert {**again["made"], "classified_at": 0} == {**made, "classified_at": 0}
    assert again["cells"] == cells
    assert sorted(cell["image_sha256"] for cell in cells) == [cell["image_sha256"] for cell in cells]


def send_another(lab: Lab) -> Any:
    """Send another slide of the scanner and complete it; returns what REST says of it when all jobs are done."""
    slide = factories.make_slide(lab.project, scanner=lab.scanner)
    factories.make_cells(slide, ["NGS"] * 4 + ["LYT"] * 2)
    lab.rest.post(f"/slides/{slide.id}/complete").raise_for_status()
    lab.work()
    return lab.get(f"/slides/{slide.id}")


def test_a_slide_is_for_review_once_the_reporting_classifier_has_seen_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PAUSE", timedelta())
    version = lab.activate()

    def check() -> None:
        found = send_another(lab)
        assert [each["state"] for each in found["states"]][-2:] == ["processing", "needs_review"]
        reported = found["differential"]
        assert (reported["preliminary"], reported["classifier"]["version"], reported["unscored"]) == (False, version, 0)
        assert reported["classifier"]["encoder_sha256"] == FakeEncoder.sha256

    check()
    with transaction() as session:  # from now on the project embeds with another encoder than its reporting classifier
        other = Encoder(sha256="f" * 64, name="other", dim=FakeEncoder.dim, card=FakeEncoder.card, created_at=now())
        session.add(other)
        session.flush()
        encoders.switch(session, session.get_one(Project, lab.project.id), other, by=None)
    lab.work()
    newest = lab.get(f"/projects/{lab.project.id}/classifiers?order=newest&limit=1")["items"][0]
    assert newest["encoder"]["sha256"] == other.sha256
    check()


def test_labels_of_people_count_over_predictions(lab: Lab) -> None:
    lab.settle()
    cell = looks(lab, "NGS")[0]
    before = counts(lab.differential)
    lab.label({cell: "LYT"})
    [line] = [each for each in lab.content["cells"] if each["cell_id"] == cell]
    assert (line["class"], line["how"], line["predicted"]) == ("LYT", "person", "NGS")
    assert sum(counts(lab.differential).values()) == sum(before.values())


def test_a_slide_without_a_classifier_says_so_and_gets_its_report_by_itself(lab: Lab, sign_in: SignIn) -> None:
    project = factories.make_project(["NGS", "LYT"])
    scanner = factories.make_scanner(project)
    slide = factories.make_slide(project, scanner=scanner)
    cells = factories.make_cells(slide, ["NGS"] * 6 + ["LYT"] * 6)
    lab.work()
    lab.project, lab.slide, lab.cells = project, slide, dict.fromkeys(cells, "")
    sign_in(factories.make_user("reviewer", member_of=project))
    assert "No classifier yet" in lab.page
    assert lab.differential is None
    assert lab.correct(cells[0], code="NGS").status_code == 409
    lab.label({cells[0]: "NGS", cells[1]: "NGS", cells[-1]: "LYT", cells[-2]: "LYT"})
    assert "No classifier yet" not in lab.page
    found = lab.differential
    assert found["preliminary"] is True
    assert found["cells"] + found["unclassified"] == 12


def test_corrections_change_the_report_at_once_and_only_of_this_slide(lab: Lab) -> None:
    lab.settle()
    before = counts(lab.differential)
    cell = looks(lab, "NGS")[0]
    assert lab.correct(cell, code="ERY").json() == {"saved": 1}
    after = counts(lab.differential)
    assert (after["NGS"], after["ERY"]) == (before["NGS"] - 1, before.get("ERY", 0) + 1)
    [row] = lab.get(f"/projects/{lab.project.id}/annotations?cell_id={cell}")["items"]
    assert (row["source"], row["by"]) == ("review", "Grace")
    other = factories.make_cells(factories.make_slide(lab.project), ["NGS"])[0]
    assert lab.correct(other, code="NGS").status_code == 404
    assert lab.correct(cell, code="XXX").status_code == 422


def test_a_review_keeps_the_predictions_it_began_with(lab: Lab) -> None:
    lab.correct(looks(lab, "NGS")[0], code="NGS")
    lab.work()
    assert lab.get(f"/projects/{lab.project.id}/classifiers?order=newest&limit=1")["items"][0]["version"] == 2
    assert lab.differential["classifier"]["version"] == 1
    assert "Version 2 of the classifier would classify this slide now" in lab.page
    assert lab.post("classification").status_code == 303
    assert lab.differential["classifier"]["version"] == 2
    lab.correct(looks(lab, "NGS")[1], code="NGS")
    version = lab.activate()
    assert lab.differential["preliminary"] is True  # people work on it
    lab.post("classification")
    lab.work()
    again = lab.differential
    assert (again["preliminary"], again["classifier"]["version"]) == (False, version)


def test_nobody_signs_unclassified_cells_or_a_preliminary_report_without_a_reason(lab: Lab) -> None:
    refused = lab.sign()
    assert refused.status_code == 422
    assert "Say why it may be signed all the same." in refused.text
    assert "nobody has activated it for this scanner" in refused.text
    lab.activate()
    with transaction() as session:
        stored(lab, session).reject_below = 1.01
    unclassified = lab.differential["unclassified"]
    assert (unclassified, lab.differential["cells"]) == (20, 0)
    assert lab.sign().status_code == 422
    lab.correct(*list(lab.cells)[:19], code="NGS")
    assert lab.page.index('aria-label="Unclassified"') < lab.page.index('data-gallery="NGS"')
    assert lab.differential["cells"] == 19
    assert lab.sign().status_code == 422
    assert lab.sign(reason="The last one is smudged").status_code == 303
    header = lab.content["header"]
    assert header["despite"] == ["Unclassified cells: 1"]
    assert header["despite_reason"] == "The last one is smudged"
    assert [cell["why"] for cell in lab.content["cells"] if cell["class"] is None] == ["no class is probable enough"]


def test_a_signed_version_never_changes_and_an_amendment_says_why(lab: Lab) -> None:
    lab.settle()
    assert lab.sign().status_code == 303
    [item] = lab.get(f"/slides/{lab.slide.id}/reports")["items"]
    assert (item["state"], item["version"], item["signatures"][0]["name"]) == ("signed", 1, "Grace")
    signed = lab.get(f"/reports/{item['id']}")["content"]
    cell = looks(lab, "NGS")[0]
    assert lab.correct(cell, code="LYT").status_code == 409
    assert lab.sign().status_code == 422
    lab.label({cell: "LYT"})
    assert lab.get(f"/reports/{item['id']}")["content"] == signed
    assert lab.post("amendment", reason=" ").status_code == 422
    assert lab.post("amendment", reason="Cell 1 was read again").status_code == 303
    assert lab.sign().status_code == 303
    newest, first = lab.get(f"/slides/{lab.slide.id}/reports")["items"]
    assert (newest["version"], newest["reason"], first["sha256"]) == (2, "Cell 1 was read again", item["sha256"])
    assert lab.differential["version"] == 2
    old = " ".join(lab.client.get(f"/reports/{first['id']}").text.split())
    assert "There is a newer one." in old
    assert "This is version 1." in old
    assert audited(lab) == ["report.classified", "report.signed", "report.amended", "report.signed"]
    with transaction() as session:
        report = session.get_one(Report, first["id"])
        assert hashlib.sha256((report.content or "").encode()).hexdigest() == report.sha256
        report.content = (report.content or "").replace("NGS", "LYT")
    assert lab.rest.get(f"/reports/{first['id']}").status_code == 500


def test_who_signs_what_they_did_not_see_is_asked_to_look_again(lab: Lab) -> None:
    lab.settle()
    page = lab.page
    lab.correct(looks(lab, "NGS")[0], code="LYT")
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    answer = lab.post("signature", seen=seen, reason="")
    assert (answer.status_code, "has changed since you opened it" in answer.text) == (409, True)
    assert lab.sign().status_code == 303


def test_a_second_signature_is_another_persons(lab: Lab, sign_in: SignIn) -> None:
    lab.activate()
    manager = factories.make_user("manager", name="Maria")
    sign_in(manager)
    form = {"cells": "0", "within": "5", "reject_percent": "50", "signer": "reviewer", "second_signature": "1"}
    settings = f"/projects/{lab.project.id}/reporting"
    assert lab.client.post(settings, data=form, follow_redirects=False).status_code == 303
    sign_in(lab.reviewer)
    assert lab.post("signature", second="1").status_code == 409
    lab.correct(*lab.cells, code="NGS")
    assert lab.sign(reason="No class is in the 100 %").status_code == 303
    assert lab.differential["state"] == "waiting"
    assert lab.post("signature", second="1").status_code == 409
    sign_in(manager)
    assert "Sign as the second" in lab.page
    assert lab.post("signature", second="1").status_code == 303
    assert lab.differential["state"] == "signed"
    [item] = lab.get(f"/slides/{lab.slide.id}/reports")["items"]
    assert [each["name"] for each in item["signatures"]] == ["Grace", "Maria"]


def test_only_those_the_project_names_sign(lab: Lab, sign_in: SignIn) -> None:
    lab.activate()
    sign_in(factories.make_user("technician", member_of=lab.project))
    assert lab.correct(looks(lab, "NGS")[0], code="NGS").status_code == 200
    assert "Signing is for those" in lab.page
    assert [lab.post(what).status_code for what in ("signature", "amendment", "classification")] == [403] * 3
    sign_in(factories.make_user("reviewer"))
    for path in (
        f"/slides/{lab.slide.id}/report",
        f"/reports/{lab.get(f'/slides/{lab.slide.id}/reports')['items'][0]['id']}",
    ):
        assert lab.client.get(path).status_code == 404
    sign_in(factories.make_user("manager"))
    form = {"cells": "0", "within": "5", "reject_percent": "50", "signer": "manager"}
    lab.client.post(f"/projects/{lab.project.id}/reporting", data=form)
    sign_in(lab.reviewer)
    assert lab.post("signature").status_code == 403
    sign_in(factories.make_user("manager"))
    assert lab.sign(reason="Nothing is counted").status_code == 303
