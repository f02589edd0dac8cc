"""Sets of cell classes to start a project with: ICSH names, keys and colours a class keeps from set to set.

The sets are those of Wenderoth et al. 2025 and the usual 5-part differential. The colours start from Okabe and Ito's
and go on with those farthest from them (CIEDE2000) in normal, deuteranope and protanope vision.
A project gets the names in the language of whoever creates it; from then on they are its own.
"""

from app.language import N_, _
from app.projects.forms import ClassForm

# code, ICSH name, key, colour, code of the class it is counted with
_CLASSES = (
    ("NGS", N_("Segmented neutrophil"), "n", "#0072b2", None),
    ("NGB", N_("Band neutrophil"), "d", "#56b4e9", "NGS"),
    ("LYT", N_("Lymphocyte"), "l", "#e69f00", None),
    ("LYA", N_("Atypical lymphocyte"), "a", "#d8894e", None),
    ("LYI", N_("Immature lymphocyte"), "i", "#9d764e", None),
    ("MON", N_("Monocyte"), "m", "#009e73", None),
    ("EOS", N_("Eosinophil"), "e", "#d55e00", None),
    ("ABE", N_("Abnormal eosinophil"), "w", "#f0e442", "EOS"),
    ("BAS", N_("Basophil"), "b", "#332288", None),
    ("EBO", N_("Erythroblast"), "r", "#761427", None),
    ("PEB", N_("Proerythroblast"), "s", "#3b3b4e", None),
    ("MYC", N_("Immature granulocyte"), "i", "#f0e442", None),
    ("MMZ", N_("Metamyelocyte"), "z", "#8976ff", None),
    ("MYB", N_("Myelocyte"), "y", "#b1c489", None),
    ("PMO", N_("Promyelocyte"), "p", "#62ebff", None),
    ("PMB", N_("Bilobed promyelocyte"), "q", "#3b7689", "PMO"),
    ("MYO", N_("Myeloblast"), "t", "#1400ff", None),
    ("MOB", N_("Monoblast"), "o", "#144e3b", None),
    ("BLA", N_("Blast cell"), "t", "#c41476", None),
    ("PLM", N_("Plasma cell"), "c", "#eb6276", None),
    ("HAC", N_("Hairy cell"), "h", "#276262", None),
    ("FGC", N_("Faggot cell"), "f", "#b11400", None),
    ("PLA", N_("Platelet"), "p", "#cc79a7", None),
    ("KSC", N_("Smudge cell"), "k", "#ebd8d8", None),
    ("ART", N_("Artefact"), "a", "#76624e", None),
    ("NIF", N_("Not identifiable"), "x", "#c49d9d", None),
    ("OTH", N_("Other cell"), "o", "#c4b1c4", None),
)
_BY_CODE = {code: (name, key, color, parent) for code, name, key, color, parent in _CLASSES}

# title, codes; where bands have no class of their own, NGS is every neutrophil
_SETS = {
    "differential-5": (N_("5-part differential"), "NGS LYT MON EOS BAS"),
    "acevedo-8": (N_("Peripheral blood, 8 classes (Acevedo)"), "NGS LYT MON EOS BAS MYC EBO PLA"),
    "blood-15": (
        N_("Peripheral blood in leukaemia, 15 classes (Matek)"),
        "NGS NGB LYT LYA MON EOS BAS MMZ MYB PMO PMB MYO MOB EBO KSC",
    ),
    "marrow-21": (
        N_("Bone marrow, 21 classes (Matek)"),
        "NGS NGB MMZ MYB PMO BLA EOS ABE BAS MON LYT LYI PLM HAC FGC EBO PEB KSC ART NIF OTH",
    ),
}
TITLES = {name: title for name, (title, _codes) in _SETS.items()}


def classes_of(preset: str) -> list[ClassForm]:
    """Return the classes of a set, in the order the labelling page shows them. Raises KeyError."""
    return classes_with(_SETS[preset][1].split())


def classes_with(codes: list[str]) -> list[ClassForm]:
    """Return the known classes with these codes. Raises KeyError."""
    return [_class(code, codes) for code in codes]


def _class(code: str, codes: list[str]) -> ClassForm:
    name, key, color, parent = _BY_CODE[code]
    if code == "NGS" and "NGB" not in codes:
        name = N_("Neutrophil")
    return ClassForm(code=code, name=_(name), key=key, color=color, parent=parent)
