"""A report as FHIR R4: a Bundle of a DiagnosticReport, an Observation for each class, and the specimen.

There is no Patient: Fiftycells knows accessions only, and whoever reads the bundle links the specimen to its patient.
Each class has its local code and that of LOINC which the project gives it, or a standard class of blood has.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from app.config import get_settings
from app.reports import loinc
from app.reports.content import Beside, Row
from app.reports.outputs.printed import Printed

MEDIA_TYPE: Final = "application/fhir+json"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
STATUS: Final = {
    "preliminary": "preliminary", "unsigned": "preliminary", "waiting": "preliminary", "final": "final",
    "amended": "amended",
}  # fmt: skip
LABORATORY: Final = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory",
            "display": "Laboratory",
        }
    ]
}
HEMATOLOGY: Final = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "HM", "display": "Hematology"}]
}
INTERPRETATION: Final = {"below": ("L", "Low"), "above": ("H", "High")}


def bundle(report: Printed) -> dict[str, Any]:
    """Return the Bundle (type collection)."""
    specimen = _address(report, "specimen")
    observations = list(_observations(report, specimen))
    entries = [
        (_address(report, "report"), _report(report, specimen, [address for address, _ in observations])),
        (specimen, _specimen(report)),
        *observations,
    ]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _time(report),
        "entry": [{"fullUrl": address, "resource": resource} for address, resource in entries],
    }


def _address(report: Printed, what: str) -> str:
    """Return an identity that a resource keeps however often the bundle is made."""
    header = report.content.header
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{_system()}/slides/{header.slide_id}/v{header.version}/{what}')}"


def _system() -> str:
    return get_settings().address


def _time(report: Printed) -> str:
    return report.moment.isoformat(timespec="seconds")


def _report(report: Printed, specimen: str, results: list[str]) -> dict[str, Any]:
    content = report.content
    code, display = loinc.PANEL
    coding = [] if _of_marrow(report) else [{"system": LOINC, "code": code, "display": display}]
    found: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": f"{_system()}/reports", "value": report.title}],
        "status": STATUS[report.status],
        "category": [HEMATOLOGY],
        "code": {"coding": coding, "text": "Leukocyte differential"} if coding else {"text": "Leukocyte differential"},
        "effectiveDateTime": content.header.received_at.isoformat(timespec="seconds"),
        "issued": _time(report),
        "specimen": [{"reference": specimen}],
        "result": [{"reference": address} for address in results],
    }
    if report.signed:
        found["resultsInterpreter"] = [{"display": each.name} for each in report.signed]
    notes = [flag.text for flag in content.flags]
    if content.counted.unclassified:
        notes.append(f"{content.counted.unclassified} cells are unclassified")
    if notes:
        found["conclusion"] = "; ".join(notes)
    return found


def _specimen(report: Printed) -> dict[str, Any]:
    header = report.content.header
    return {
        "resourceType": "Specimen",
        "accessionIdentifier": {"value": header.accession},
        "receivedTime": header.received_at.isoformat(timespec="seconds"),
    }


def _of_marrow(report: Printed) -> bool:
    return loinc.OF_MARROW in _known(report)


def _known(report: Printed) -> set[str]:
    return {code for row in report.content.rows for code in row.members}


def _observations(report: Printed, specimen: str) -> Iterator[tuple[str, dict[str, Any]]]:
    known = _known(report)
    for row in report.content.rows:
        found = _observation(report, specimen, row, row.members, known)
        found["valueQuantity"] = _quantity(100 * row.share, "%")
        found["component"] = [_count(row.count), _interval(100 * row.low, 100 * row.high, "%")]
        if row.range:
            found["referenceRange"] = [{"low": _quantity(row.range[0], "%"), "high": _quantity(row.range[1], "%")}]
        if row.outside:
            found["interpretation"] = [_interpretation(row.outside)]
        yield _address(report, row.code), found
    for each in report.content.beside:
        found = _observation(report, specimen, each, [each.code], known)
        found["component"] = [_count(each.count)]
        if each.per_100 is not None and each.low is not None and each.high is not None:
            found["valueQuantity"] = _quantity(each.per_100, "/100{WBCs}")
            found["component"].append(_interval(each.low, each.high, "/100{WBCs}"))
        yield _address(report, each.code), found


def _observation(
    report: Printed, specimen: str, about: Row | Beside, members: Sequence[str], known: Collection[str]
) -> dict[str, Any]:
    made = report.content.made
    local = {"system": f"{_system()}/classes", "code": about.code, "display": about.name}
    if about.loinc:
        standard = [{"system": LOINC, "code": about.loinc}]  # its name in LOINC is the lab's to know
    else:
        code = loinc.code_of(members, known)
        standard = [{"system": LOINC, "code": code[0], "display": code[1]}] if code else []
    return {
        "resourceType": "Observation",
        "status": STATUS[report.status],
        "category": [LABORATORY],
        "code": {"coding": [*standard, local], "text": about.name},
        "effectiveDateTime": report.content.header.received_at.isoformat(timespec="seconds"),
        "issued": _time(report),
        "specimen": {"reference": specimen},
        "device": {
            "display": f"{made.software}, classifier version {made.classifier_version}, encoder {made.encoder_sha256}"
        },
    }


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": round(value, 2), "unit": unit, "system": UCUM, "code": unit}


def _count(count: int) -> dict[str, Any]:
    return {"code": {"text": "Cells counted"}, "valueInteger": count}


def _interval(low: float, high: float, unit: str) -> dict[str, Any]:
    return {
        "code": {"text": "95 % confidence interval"},
        "valueRange": {"low": _quantity(low, unit), "high": _quantity(high, unit)},
    }


def _interpretation(outside: str) -> dict[str, Any]:
    code, display = INTERPRETATION[outside]
    system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
    return {"coding": [{"system": system, "code": code, "display": display}]}
