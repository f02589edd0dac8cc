"""Labelled sets of cells: a folder with a CSV of path and label, or one of four public sets as it unpacks."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from workers.ml.sources import Source, find_images

NAMES: Final = {
    "basophil": "BAS",
    "eosinophil": "EOS",
    "erythroblast": "EBO",
    "lymphocyte": "LYT",
    "monocyte": "MON",
    "neutrophil": "NGS",
    "platelet": "PLA",
}
"""Codes of Wenderoth et al. for the classes whose names are written out in Acevedo's and Raabin's folders."""
MATEK: Final = frozenset(
    {"ABE", "ART", "BAS", "BLA", "EBO", "EOS", "FGC", "HAC", "KSC", "LYA", "LYI", "LYT", "MMZ", "MOB", "MON", "MYB"}
    | {"MYO", "NGB", "NGS", "NIF", "OTH", "PEB", "PLM", "PMB", "PMO"}
)
"""Codes of the folders of both sets of Matek, bone marrow (21) and blood (15)."""
IMMATURE: Final = frozenset({"MMY", "MY", "PMY"})
"""File name prefixes in Acevedo's folder "ig" that the paper merges to MYC; it leaves out the unspecified others."""
RAABIN_PARTS: Final = frozenset({"Train", "TestA", "TestB"})
_SHOWN: Final = 10


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels, in the same order; `notes` say what was left out and why."""

    sources: list[Source]
    labels: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Images per class."""
        return dict(sorted(Counter(self.labels).items()))


def read_labelled(root: Path, table: Path | None = None) -> LabelledImages:
    """Read a labelled set: the images of `root` (folder or ZIP) that `table` lists, or all of a public set.

    ValueError says what is missing: files of the CSV, columns, or, without a CSV, a known layout.
    """
    sources = find_images([root])
    return _by_folder(root, sources) if table is None else _by_table(sources, table)


def class_of(name: str) -> str | None:
    """Code of a cell by its path in a public set; "" if the paper leaves it out, None if no layout fits.

    Matek: `BLA/.../BLA_00001.jpg` (marrow), `NGS/NGS_0001.tiff` (blood). Acevedo: `neutrophil/SNE_1.jpg`,
    `ig/MY_1.jpg`. Raabin: `Train/Neutrophil/1.jpg`.
    """
    path = PurePosixPath(name)
    prefix, folder = path.name.partition("_")[0], path.parent.name.lower()
    if prefix in MATEK and prefix in path.parts:
        return prefix
    if folder == "ig":
        return "MYC" if prefix in IMMATURE else ""
    return NAMES.get(folder)


def _by_folder(root: Path, sources: Sequence[Source]) -> LabelledImages:
    parts = {part for source in sources for part in PurePosixPath(source.name).parts[:-1]} & RAABIN_PARTS
    if len(parts) > 1:
        raise ValueError(f"{root} holds {', '.join(sorted(parts))}: give one of these folders, or a CSV")
    labels = [class_of(source.name) for source in sources]
    if unknown := [source.name for source, label in zip(sources, labels, strict=True) if label is None]:
        raise ValueError(
            f"{root} is not laid out as one of the public sets (Matek, Acevedo, Raabin), so a CSV with path and label "
            f"is needed; {listed(unknown)}"
        )
    kept = [(source, label) for source, label in zip(sources, labels, strict=True) if label]
    left = len(sources) - len(kept)
    notes = [f"{left} immature granulocytes of unspecified kind are left out, as in the paper"] if left else []
    return LabelledImages([source for source, _ in kept], [label for _, label in kept], notes)


def _by_table(sources: Sequence[Source], table: Path) -> LabelledImages:
    rows = read_table(table)
    unique = list(dict.fromkeys(rows))
    found = _match([path for path, _ in unique], sources)
    if missing := [path for (path, _), source in zip(unique, found, strict=True) if source is None]:
        raise ValueError(f"{table}: no image, or several, for {len(missing)} of {len(unique)} rows; {listed(missing)}")
    images = [source for source in found if source is not None]
    names = Counter(source.name for source in images)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"{table}: several rows mean the same image; {listed(twice)}")
    repeated = len(rows) - len(unique)
    notes = [f"{table.name}: {repeated} rows are repeated and count once"] if repeated else []
    moved = [f"{path} is {image.name}" for (path, _), image in zip(unique, images, strict=True) if path != image.name]
    if moved:
        notes.append(f"{table.name}: {len(moved)} paths are found by their end, so {moved[0]}")
    return LabelledImages(images, [label for _, label in unique], notes)


def read_table(table: Path) -> list[tuple[str, str]]:
    """Return (path, label) of each row of a CSV.

    Columns are told by name in any case, separated by comma, semicolon or tab; more columns do no harm. ValueError
    if there is no such file, column or row, and for a row with an empty field.
    """
    if not table.is_file():
        raise ValueError(f"there is no {table}")
    with table.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        separator = max(",;\t", key=header.count)
        columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=separator), [])]
        if not {"path", "label"} <= {*columns}:
            raise ValueError(f"{table}: its columns are {', '.join(columns) or 'none'}; path and label are needed")
        rows = list(csv.DictReader(file, columns, delimiter=separator))
    found = [((row["path"] or "").strip(), (row["label"] or "").strip()) for row in rows]
    if not found or not all(path and label for path, label in found):
        empty = [i for i, pair in enumerate(found, 2) if not all(pair)]
        raise ValueError(f"{table}: " + (f"path or label is empty in line {empty[0]}" if empty else "it has no rows"))
    return found


def _match(paths: Iterable[str], sources: Sequence[Source]) -> list[Source | None]:
    """Image of each path: that of this name, else the only one that shares the most trailing parts; None without."""
    by_name = {source.name: source for source in sources}
    by_file: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_file[PurePosixPath(source.name).name].append(source)
    found: list[Source | None] = []
    for path in paths:
        wanted = PurePosixPath(path.replace("\\", "/"))
        candidates = by_file.get(wanted.name, [])
        shared = [_shared_tail(wanted, PurePosixPath(source.name)) for source in candidates]
        best = [source for source, length in zip(candidates, shared, strict=True) if length == max(shared)]
        found.append(by_name.get(str(wanted)) or (best[0] if len(best) == 1 else None))
    return found


def _shared_tail(one: PurePosixPath, other: PurePosixPath) -> int:
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    length = 0
    for mine, theirs in pairs:
        if mine != theirs:
            break
        length += 1
    return length


def listed(names: Sequence[str]) -> str:
    """Text that names the first few and counts all."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"


@dataclass(frozen=True)
class Mapping:
    """How classes of the fitted set are read in terms of the test set: both map a label to a code.

    Labels that are missing in `fitted` or `tested` are left out. `notes` say it for people.
    """

    fitted: dict[str, str]
    tested: dict[str, str]
    notes: list[str]


def transfer_mapping(fitted: Iterable[str], tested: Iterable[str]) -> Mapping:
    """Map classes for direct transfer as Wenderoth et al. do, keeping those both sets have.

    Names written out become codes; MMZ, PMO and MYB are read as MYC where the target has MYC, NGB as NGS where it
    has no NGB. ValueError if fewer than two classes are shared.
    """
    tested_codes = {label: _code(label) for label in sorted({*tested})}
    targets = {*tested_codes.values()}
    fitted_codes = {label: _target(_code(label), targets) for label in sorted({*fitted})}
    shared = targets & {*fitted_codes.values()}
    if len(shared) < 2:
        raise ValueError(f"direct transfer needs two shared classes; shared are: {', '.join(sorted(shared)) or 'none'}")
    notes = [
        f"{which} {label} -> {code if code in shared else 'left out, the other set has no such class'}"
        for which, codes in (("fitted", fitted_codes), ("tested", tested_codes))
        for label, code in codes.items()
        if label != code or code not in shared
    ]
    kept = [{label: code for label, code in codes.items() if code in shared} for codes in (fitted_codes, tested_codes)]
    return Mapping(kept[0], kept[1], notes)


def _code(label: str) -> str:
    return NAMES.get(label.lower().removesuffix("s"), label)


def _target(code: str, targets: set[str]) -> str:
    if code in targets:
        return code
    if code in {"MMZ", "PMO", "MYB"} and "MYC" in targets:
        return "MYC"
    return "NGS" if code == "NGB" else code
