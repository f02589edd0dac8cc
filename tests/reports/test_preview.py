"""What would change if another version reported for a scanner is said before anything changes."""

from typing import Any

from fastapi.testclient import TestClient

from tests import factories
from tests.reports.conftest import LOOKS, Lab, SignIn


def newest(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.get(f"/projects/{lab.project.id}/classifiers?order=newest&limit=1")["items"][0]
    return found


def preview(lab: Lab, classifier: int) -> Any:
    asked = lab.rest.post(f"/classifiers/{classifier}/previews", json={"scanner_id": lab.scanner.id})
    assert (asked.status_code, asked.json()["found"]) == (202, None)
    lab.work()
    return lab.get(f"/classifiers/{classifier}/previews/{lab.scanner.id}")["found"]


def test_signed_and_open_reports_are_compared_and_stay_as_they_are(lab: Lab, sign_in: SignIn) -> None:
    lab.settle()
    lab.sign()
    signed = lab.content
    other = factories.make_slide(lab.project, scanner=lab.scanner)
    factories.make_cells(other, LOOKS)
    lab.work()
    lab.rest.post(f"/slides/{other.id}/complete").raise_for_status()
    lab.work()
    assert_nothing_changes(preview(lab, signed["made"]["classifier_id"]))

    misled = factories.make_cells(factories.make_slide(lab.project), ["NGS"] * 12)
    lab.work()
    lab.label(dict.fromkeys(misled, "LYT"))  # somebody is wrong, again and again
    assert_cells_move(preview(lab, newest(lab)["id"]))
    assert lab.content == signed
    assert_activated_from_the_page(lab, sign_in(factories.make_user("manager")))
    assert lab.content == signed


def assert_nothing_changes(found: Any) -> None:
    assert (found["slides"], found["cells"], found["signed"]) == (2, 40, 1)
    assert (found["changed"], found["moves"], found["signed_otherwise"]) == (0, [], [])


def assert_cells_move(found: Any) -> None:
    counts = {code: (before, after) for code, before, after in found["classes"]}
    assert found["changed"] > 0
    assert counts["LYT"][0] != counts["LYT"][1]
    assert sum(before for before, _after in counts.values()) == sum(after for _before, after in counts.values()) == 40
    assert found["signed_otherwise"][0]["cells"] > 0


def assert_activated_from_the_page(lab: Lab, client: TestClient) -> None:
    address = f"/classifiers/{newest(lab)['id']}/previews"
    assert client.post(address, data={"scanner_id": ""}).status_code == 422
    asked = client.post(address, data={"scanner_id": lab.scanner.id}, follow_redirects=False).headers["location"]
    assert "Classifying past slides" in client.get(asked).text
    lab.work()
    page = " ".join(client.get(asked, headers={"HX-Request": "true"}).text.split())
    assert "1 of 1 signed reports would say something else" in page
    assert lab.slide.accession in page
    activate = f"/projects/{lab.project.id}/classifiers/{newest(lab)['version']}/activate"
    assert activate in page
    client.post(activate, data={"scanner_id": lab.scanner.id, "reason": "All the same"}).raise_for_status()
    assert activate not in client.get(asked).text


def test_a_scanner_without_reports_and_one_of_another_project(lab: Lab) -> None:
    classifier = newest(lab)["id"]
    empty = factories.make_scanner(lab.project)
    lab.rest.post(f"/classifiers/{classifier}/previews", json={"scanner_id": empty.id}).raise_for_status()
    lab.work()
    assert lab.get(f"/classifiers/{classifier}/previews/{empty.id}")["found"]["slides"] == 0
    assert lab.rest.get(f"/classifiers/{classifier}/previews/{lab.scanner.id}").status_code == 404
    foreign = factories.make_scanner(factories.make_project())
    refused = lab.rest.post(f"/classifiers/{classifier}/previews", json={"scanner_id": foreign.id})
    assert (refused.status_code, "no such scanner" in refused.text) == (422, True)
