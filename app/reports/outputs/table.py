"""The differential as a CSV file: one line a class, a sum of classes, or what stands beside the 100 %."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.reports.outputs.printed import Printed

HEADER: Final = (
    "slide", "scanner", "version", "status", "kind", "code", "name", "count", "value", "unit", "low_95", "high_95",
    "corrected", "corrected_low_95", "corrected_high_95", "range_low", "range_high", "outside", "classifier_version",
    "encoder_sha256", "signed_by", "signed_at",
)  # fmt: skip
PER_100: Final = "/100 WBC"


def rows(report: Printed) -> Iterator[Sequence[Any]]:
    """Yield the lines; shares in per cent with two decimals, empty where there is none."""
    content = report.content
    head = (content.header.accession, content.header.scanner, content.header.version, report.status)
    tail = (
        content.made.classifier_version,
        content.made.encoder_sha256,
        "; ".join(each.name for each in report.signed),
        "; ".join(each.at.isoformat() for each in report.signed),
    )
    for row in content.rows:
        kind = "class" if len(row.members) == 1 else "sum"
        corrected = (row.corrected.share, row.corrected.low, row.corrected.high) if row.corrected else (None,) * 3
        yield [
            *head, kind, row.code, row.name, row.count, _percent(row.share), "%", _percent(row.low),
            _percent(row.high), *map(_percent, corrected), *(row.range or ("", "")), row.outside, *tail,
        ]  # fmt: skip
    for each in content.beside:
        shares = ["" if value is None else f"{value:.2f}" for value in (each.per_100, each.low, each.high)]
        yield [
            *head, "beside", each.code, each.name, each.count, shares[0], PER_100, *shares[1:], *[""] * 6, *tail,
        ]  # fmt: skip
    yield [*head, "unclassified", "", "", content.counted.unclassified, *[""] * 10, *tail]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
