"""LOINC codes of the differential in blood, by the codes of the standard classes.

From the panel 69738-3 (method unspecified): "... /100 leukocytes in Blood" without a method, since
people and a classifier count together; and 19048-8 for erythroblasts. LOINC is copyright Regenstrief Institute, Inc.
and available at no cost under the licence at http://loinc.org/license.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

PANEL: Final = ("69738-3", "Differential panel, method unspecified - Blood")
NEUTROPHILS: Final = ("26511-6", "Neutrophils/100 leukocytes in Blood")
SEGMENTED: Final = ("26505-8", "Segmented neutrophils/100 leukocytes in Blood")
CODES: Final = {
    "NGB": ("26508-2", "Band form neutrophils/100 leukocytes in Blood"),
    "LYT": ("26478-8", "Lymphocytes/100 leukocytes in Blood"),
    "LYA": ("13046-8", "Variant lymphocytes/100 leukocytes in Blood"),
    "MON": ("26485-3", "Monocytes/100 leukocytes in Blood"),
    "EOS": ("26450-7", "Eosinophils/100 leukocytes in Blood"),
    "BAS": ("30180-4", "Basophils/100 leukocytes in Blood"),
    "MMZ": ("28541-1", "Metamyelocytes/100 leukocytes in Blood"),
    "MYB": ("26498-6", "Myelocytes/100 leukocytes in Blood"),
    "PMO": ("26524-9", "Promyelocytes/100 leukocytes in Blood"),
    "MYO": ("30445-1", "Myeloblasts/100 leukocytes in Blood"),
    "MOB": ("34923-3", "Monoblasts/100 leukocytes in Blood"),
    "BLA": ("26446-5", "Blasts/100 leukocytes in Blood"),
    "PLM": ("13047-6", "Plasma cells/100 leukocytes in Blood"),
    "HAC": ("35058-7", "Hairy cells/100 leukocytes in Blood"),
    "KSC": ("34992-8", "Smudge cells/100 leukocytes in Blood"),
    "EBO": ("19048-8", "Nucleated erythrocytes/100 leukocytes in Blood"),
}
FORM: Final = re.compile(r"[0-9]{1,7}-[0-9]")
OF_MARROW: Final = "PEB"  # a set of classes that tells proerythroblasts apart is one of marrow: no code of blood fits


def is_code(text: str) -> bool:
    """Say whether a text has the form of a code, check digit (mod 10, LOINC Users' Guide, appendix C) included."""
    if not FORM.fullmatch(text):
        return False
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(text[-3::-1])]
    return (sum(each // 10 + each % 10 for each in doubled) + int(text[-1])) % 10 == 0


def code_of(members: Sequence[str], known: Collection[str]) -> tuple[str, str] | None:
    """Return code and name of a class, or of a sum of classes; None where LOINC has none for it.

    `known` are all classes that are counted: where bands have a class of their own, NGS are segmented neutrophils only.
    """
    if OF_MARROW in known:
        return None
    if set(members) == {"NGS", "NGB"}:
        return NEUTROPHILS
    if list(members) == ["NGS"]:
        return SEGMENTED if "NGB" in known else NEUTROPHILS
    return CODES.get(members[0]) if len(members) == 1 else None
