"""What a report says: the shape that pages, REST, files and signed versions share.

`queries.report_of(session, report)` returns a `Content`: `header` (slide, scanner, version), `made` (classifier,
encoder, software), `counted` (how many cells and which), `rows` (classes and their sums), `beside` (classes that are no
part of the 100 %, per 100 leukocytes), `flags`, `cells` (each with its class and how it came to it). Signatures are
rows beside it, `queries.signatures(session, report)`: `SignedBy` with name, e-mail and time.

Shares and limits are from 0 to 1; ranges and thresholds are in per cent, as people set them. Texts are English, to be
shown with `app.language.stored`. All models are frozen; the JSON of a signed version is that of `Content`.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1


class Frozen(BaseModel):
    """A value nobody changes."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Estimate(Frozen):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


class Row(Frozen):
    """A class of the differential, or with `members` more than one the sum of a class and its subclasses."""

    code: str = Field(description="Code of the class; of a sum the codes of its members, joined by +.")
    name: str
    members: tuple[str, ...] = Field(description="Codes that are counted here.")
    level: int = Field(description="1 below the sum it is part of, else 0.")
    count: int
    share: float = Field(description="Of all cells that are counted in the 100 %.")
    low: float = Field(description="Lower 95 % limit of the share.")
    high: float
    corrected: Estimate | None = Field(description="The share corrected for the known confusion of the classifier.")
    range: tuple[float, float] | None = Field(description="Reference range in per cent.")
    outside: Literal["", "below", "above"] = Field(description="Whether the share lies outside of the range.")
    certain: bool = Field(description="Whether its whole interval does.")
    more: int = Field(description="How many more cells bring half the interval down to what the project asks for.")
    loinc: str = Field("", description="The lab's own code of LOINC, empty where that of the class holds.")


class Beside(Frozen):
    """A class that is no part of the 100 %, per 100 leukocytes with its 95 % limits."""

    code: str
    name: str
    count: int
    per_100: float | None = Field(description="Null where no leukocyte was counted.")
    low: float | None
    high: float | None
    loinc: str = ""


class Flag(Frozen):
    """A rule of the lab that this slide meets; `value` and its limits are in the unit of the threshold."""

    text: str
    subject: str
    comparison: Literal[">=", "<"]
    threshold: float
    value: float
    low: float
    high: float
    certain: bool = Field(description="Whether the interval excludes the threshold.")


class CellLine(Frozen):
    """A cell of the slide, in the order of counting."""

    cell_id: int
    image_sha256: str
    class_: str | None = Field(alias="class", description="Code; null where it is unclassified.")
    how: Literal["person", "predicted", "unclassified"]
    by: str | None = Field(description="Who gave the class.")
    predicted: str | None = Field(description="The most probable class, however improbable.")
    probability: float | None
    novelty: float | None = Field(description="1 where only 5 % of the labelled cells are as far from every class.")
    why: str = Field(description="Why it is unclassified.")
    counted: bool = Field(description="False beyond the cells that make the differential.")


class Header(Frozen):
    """Which slide this is about."""

    slide_id: int
    accession: str
    project: str
    scanner: str
    received_at: datetime
    synthetic: bool = Field(description="Its cells are generated, not from a patient.")
    version: int
    reason: str = Field(description="Why there is a version after a signed one.")
    despite: tuple[str, ...] = Field(description="What was not as it should be when it was signed.")
    despite_reason: str = Field(description="And why it was signed all the same.")


class Made(Frozen):
    """What made the predictions."""

    classifier_id: int
    classifier_version: int
    classifier_state: str
    preliminary: bool = Field(description="Nobody has activated this classifier for the scanner.")
    encoder: str
    encoder_sha256: str
    scores_sha256: str | None = Field(description="Of the file with all probabilities; null while it is not pinned.")
    reject_below: float = Field(description="Highest probability below which a cell is unclassified.")
    software: str
    classified_at: datetime | None


class Counted(Frozen):
    """Which cells make the differential."""

    wanted: int = Field(description="100 or 200 leukocytes; 0 for all cells.")
    leukocytes: int = Field(description="Cells in the 100 %.")
    beside: int
    unclassified: int
    unscored: int = Field(description="Unclassified ones that the classifier has not seen, or cannot see.")
    beyond: int = Field(description="Cells of the slide that were not needed.")
    seen: int = Field(description="Counted cells whose class a person gave.")
    more: int = Field(description="How many more leukocytes bring every class within `within`.")
    within: float = Field(description="In percentage points.")
    not_corrected: str = Field(description="Why there is no corrected estimate, if there is none.")


class Content(Frozen):
    """A report."""

    format: int = FORMAT
    header: Header
    made: Made
    counted: Counted
    rows: tuple[Row, ...]
    beside: tuple[Beside, ...]
    flags: tuple[Flag, ...]
    cells: tuple[CellLine, ...]


class SignedBy(Frozen):
    """Who signed, and when."""

    name: str
    email: str
    at: datetime
