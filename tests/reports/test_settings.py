"""How a project counts and signs is set by its managers."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.reports import loinc
from tests import factories
from tests.browsing import error_of
from tests.reports.conftest import Lab, SignIn


def ids(lab: Lab) -> dict[str, int]:
    return {row["code"]: row["id"] for row in lab.get(f"/projects/{lab.project.id}")["classes"]}


def form(lab: Lab, **changes: str) -> dict[str, str]:
    """What the page sends when nothing was changed, with changes; an empty text takes a field away."""
    classes = ids(lab)
    values = {"cells": "0", "within": "5", "reject_percent": "50", "signer": "reviewer"}
    values |= {f"counted-{each}": "1" for each in classes.values()}
    values |= {name.format(**classes): value.format(**classes) for name, value in changes.items()}
    return {name: value for name, value in values.items() if value}


def save(lab: Lab, **changes: str) -> Any:
    path = f"/projects/{lab.project.id}/reporting"
    return lab.client.post(path, data=form(lab, **changes), follow_redirects=False)


def test_ranges_rules_and_classes_of_a_project_shape_its_reports(lab: Lab, sign_in: SignIn) -> None:
    assert save(lab).status_code == 403
    sign_in(factories.make_user("manager"))
    rule = {"text-0": "Lymphocytosis", "subject-0": "{LYT}", "comparison-0": ">=", "threshold-0": "2,5"}
    wanted = {"low-{NGS}": "80", "high-{NGS}": "90", "counted-{ERY}": "", "within": "2,5", **rule}
    assert save(lab, **wanted).status_code == 303
    found = lab.differential
    assert [row["class"] for row in found["classes"]] == ["NGS", "LYT"]
    assert [row["code"] for row in found["beside"]] == ["ERY"]
    neutrophils = found["classes"][0]
    assert (neutrophils["range"], neutrophils["outside"], neutrophils["certain"]) == ([80, 90], "below", False)
    [flag] = found["flags"]
    assert (flag["text"], flag["threshold"], flag["certain"]) == ("Lymphocytosis", 2.5, True)
    page = lab.page
    assert "below, not sure" in page
    assert "Lymphocytosis" in page
    trail = lab.client.get(f"/projects/{lab.project.id}/audit").text
    assert "Reporting changed" in trail
    assert "NGS 80 to 90 %" in trail
    settings = lab.client.get(f"/projects/{lab.project.id}/reporting").text
    assert 'value="Lymphocytosis"' in settings


def test_a_differential_of_so_many_cells(lab: Lab, sign_in: SignIn) -> None:
    slide = factories.make_slide(lab.project, scanner=lab.scanner)
    factories.make_cells(slide, ["NGS"] * 80 + ["LYT"] * 60)
    lab.rest.post(f"/slides/{slide.id}/complete").raise_for_status()
    lab.work()
    lab.slide = slide
    everything = lab.differential
    sign_in(factories.make_user("manager"))
    save(lab, cells="100")
    found = lab.differential
    assert found["cells"] == 100 < everything["cells"]
    assert "the first 100 leukocytes" in lab.page
    lab.activate()
    cells = lab.content["cells"]
    counted = [cell["counted"] for cell in cells]
    assert counted == sorted(counted, reverse=True)
    assert sum(cell["counted"] and cell["class"] is not None for cell in cells) == 100
    assert lab.content["counted"]["beyond"] == counted.count(False)


def test_a_lab_gives_its_classes_codes_of_loinc(lab: Lab, sign_in: SignIn) -> None:
    sign_in(factories.make_user("manager"))
    page = lab.client.get(f"/projects/{lab.project.id}/reporting").text
    assert 'placeholder="26511-6"' in page
    classes = ids(lab)
    wrong = save(lab, **{"loinc-{NGS}": "26511-7", "loinc-{ERY}": "789-8"})
    assert wrong.status_code == 422
    assert error_of(wrong, f"loinc-{classes['NGS']}") == "This is no code of LOINC: its check digit does not fit."
    assert 'value="789-8"' in wrong.text
    assert save(lab, **{"loinc-{ERY}": " 789-8 ", "counted-{ERY}": ""}).status_code == 303
    assert [row["loinc"] for row in lab.content["rows"]] == ["", ""]
    assert [row["loinc"] for row in lab.content["beside"]] == ["789-8"]
    bundle = lab.rest.get(f"/slides/{lab.slide.id}/report/fhir").json()
    codes = {each["code"]["coding"][-1]["code"]: each["code"]["coding"] for each in coded(bundle)}
    assert codes["ERY"][0] == {"system": "http://loinc.org", "code": "789-8"}
    assert codes["NGS"][0]["code"] == "26511-6"
    assert "ERY 789-8" in lab.client.get(f"/projects/{lab.project.id}/audit").text


def coded(bundle: Any) -> list[Any]:
    resources = (entry["resource"] for entry in bundle["entry"])
    return [each for each in resources if each["resourceType"] == "Observation"]


@pytest.mark.parametrize(
    "code", [*(code for code, _name in loinc.CODES.values()), loinc.PANEL[0], loinc.NEUTROPHILS[0]]
)
def test_the_check_digit_of_each_standard_code_fits_and_no_other_does(code: str) -> None:
    number, _dash, digit = code.partition("-")
    assert [each for each in range(10) if loinc.is_code(f"{number}-{each}")] == [int(digit)]
    assert not loinc.is_code(number)


def test_what_cannot_be_is_said_beside_its_field(lab: Lab, sign_in: SignIn) -> None:
    sign_in(factories.make_user("manager"))
    wrong = {
        "low-{NGS}": "80", "high-{NGS}": "70", "low-{LYT}": "20", "within": "0", "reject_percent": "120",
        "text-0": "Blasts", "subject-0": "999", "threshold-0": "1", "comparison-0": ">=", "text-1": "Only a text",
        "subject-1": "cells", "comparison-1": "<",
    }  # fmt: skip
    first = save(lab, **wrong)
    assert first.status_code == 422
    assert error_of(first, "within") == "A number above 0, please."
    assert error_of(first, "reject_percent") == "At most 100.0, please."
    second = save(lab, **{**wrong, "within": "5", "reject_percent": "50"})
    assert second.status_code == 422
    classes = ids(lab)
    assert error_of(second, f"low-{classes['NGS']}") == "The lower end is above the upper one."
    assert error_of(second, f"low-{classes['LYT']}") == "Give both ends of the range, or neither."
    ranges = {"low-{NGS}": "", "high-{NGS}": "", "low-{LYT}": ""}
    third = save(lab, **{**wrong, "within": "5", "reject_percent": "50", **ranges})
    assert "Choose what the rule is about." in third.text
    assert error_of(third, "threshold-1") == "A number, please."
    assert 'value="Only a text"' in third.text  # nothing that was typed is lost


def test_classes_that_are_no_leukocytes_are_left_out_from_the_first_day(client: TestClient, sign_in: SignIn) -> None:
    sign_in(factories.make_user("manager"))

    def counted(codes: list[str]) -> list[str]:
        page = client.get(f"/projects/{factories.make_project(codes).id}/reporting").text
        return [code for code in codes if f'aria-label="{code} is in the 100 %" checked' in page]

    assert counted(["NGS", "EBO", "PLA"]) == ["NGS"]
    assert counted(["NGS", "EBO", "PEB", "ART"]) == ["NGS", "EBO", "PEB"]
