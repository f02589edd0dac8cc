"""A report as a file: what is signed is final, and each format can be read by the library of those who will read it."""

import csv
import hashlib
import io
from typing import Any

import PIL.Image
import pypdfium2
import pytest
from fhir.resources.R4B.bundle import Bundle

from app.models import User
from app.reports import loinc
from tests import factories
from tests.reports.conftest import Lab

KINDS = ("pdf", "csv", "json", "fhir", "coco")


def file(lab: Lab, kind: str) -> Any:
    return lab.rest.get(f"/slides/{lab.slide.id}/report/{kind}").raise_for_status()


def text_of(data: bytes) -> str:
    with pypdfium2.PdfDocument(data) as document:
        assert len(document) == 1
        return str(document[0].get_textpage().get_text_range())


def resources(lab: Lab, kind: str) -> list[Any]:
    found = Bundle.model_validate_json(file(lab, "fhir").content)
    return [each.resource for each in found.entry if each.resource.__class__.__name__ == kind]


def test_every_format_says_that_nobody_has_signed_and_later_who_has(lab: Lab) -> None:
    assert file(lab, "json").json()["status"] == "preliminary"
    assert "Not signed" in text_of(file(lab, "pdf").content)
    assert [each.status for each in resources(lab, "DiagnosticReport")] == ["preliminary"]
    lab.settle()
    assert lab.sign().status_code == 303
    printed = text_of(file(lab, "pdf").content)
    assert "Signed by Grace" in printed
    assert lab.slide.accession in printed
    assert file(lab, "json").json()["status"] == "final"
    [report] = resources(lab, "DiagnosticReport")
    assert (report.status, report.resultsInterpreter[0].display) == ("final", "Grace")
    rows = list(csv.DictReader(io.StringIO(file(lab, "csv").text)))
    assert {(row["status"], row["signed_by"]) for row in rows} == {("final", "Grace")}
    assert sum(int(row["count"]) for row in rows if row["kind"] == "class") == 20


def test_a_signed_version_gives_the_same_bytes_for_ever(lab: Lab) -> None:
    lab.settle()
    lab.sign()
    signed = lab.get(f"/slides/{lab.slide.id}/reports")["items"][0]["id"]
    before = {kind: lab.rest.get(f"/reports/{signed}/{kind}").content for kind in KINDS}
    lab.post("amendment", reason="A cell was taken for another.")
    lab.correct(next(iter(lab.cells)), code="LYT")
    after = {kind: lab.rest.get(f"/reports/{signed}/{kind}").content for kind in KINDS}
    assert {kind: hashlib.sha256(data).hexdigest() for kind, data in before.items()} == {
        kind: hashlib.sha256(data).hexdigest() for kind, data in after.items()
    }
    assert file(lab, "json").json()["status"] == "unsigned"
    lab.sign()
    assert file(lab, "json").json()["status"] == "amended"
    assert [each.status for each in resources(lab, "DiagnosticReport")] == ["amended"]


def test_fhir_has_the_codes_of_loinc_where_there_are_some(lab: Lab) -> None:
    lab.settle()
    found = {each.code.coding[-1].code: each for each in resources(lab, "Observation")}
    assert [each.code for each in found["NGS"].code.coding] == [loinc.NEUTROPHILS[0], "NGS"]
    assert [each.code for each in found["ERY"].code.coding] == ["ERY"]
    assert float(found["NGS"].valueQuantity.value) == 60
    assert (found["NGS"].valueQuantity.code, found["NGS"].component[0].valueInteger) == ("%", 12)
    assert resources(lab, "Specimen")[0].accessionIdentifier.value == lab.slide.accession


@pytest.mark.parametrize(
    ("members", "known", "code"),
    [
        (["NGS"], {"NGS", "LYT"}, "26511-6"),
        (["NGS"], {"NGS", "NGB"}, "26505-8"),
        (["NGS", "NGB"], {"NGS", "NGB"}, "26511-6"),
        (["LYT"], {"LYT", "PEB"}, None),
        (["OTH"], {"OTH"}, None),
    ],
)
def test_a_code_of_loinc_says_neither_more_nor_less_than_the_class(
    members: list[str], known: set[str], code: str | None
) -> None:
    found = loinc.code_of(members, known)
    assert (found[0] if found else None) == code


def test_a_page_holds_letters_of_all_languages_and_never_becomes_two(lab: Lab) -> None:
    many = factories.make_slide(lab.project, scanner=lab.scanner, accession="Łódź-Ωmega-" + "x" * 40)
    factories.make_cells(many, ["NGS", "ERY"] * 60)
    lab.work()
    printed = text_of(lab.client.get(f"/slides/{many.id}/report/pdf").content)
    assert "Łódź-Ωmega" in printed


def test_strangers_get_no_file(lab: Lab, sign_in: Any) -> None:
    stranger: User = factories.make_user(member_of=factories.make_project())
    client = sign_in(stranger)
    for kind in KINDS:
        assert client.get(f"/slides/{lab.slide.id}/report/{kind}").status_code == 404
    assert lab.rest.get(f"/slides/{lab.slide.id}/report/docx").status_code == 422
    empty = factories.make_slide(factories.make_project())
    assert "no classifier" in lab.rest.get(f"/slides/{empty.id}/report/pdf").json()["detail"]


def test_the_printed_page_is_no_blank_one(lab: Lab) -> None:
    with pypdfium2.PdfDocument(file(lab, "pdf").content) as document:
        image: PIL.Image.Image = document[0].render(scale=1).to_pil().convert("L")
    dark = sum(image.histogram()[:128]) / (image.width * image.height)
    assert 0.005 < dark < 0.3
