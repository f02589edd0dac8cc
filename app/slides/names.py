"""Names of uploaded files: never used as paths, only shown, so they are made harmless to look at."""

import re
import unicodedata

LONGEST = 120  # characters
SYSTEM_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_SEPARATORS = re.compile(r"[\\/]+")
# Controls, formats (bidirectional overrides among them), surrogates and line separators can make a name lie.
_DECEIVING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean_name(name: str) -> str:
    """Return a file name or path fit to be shown: one line, no control or bidirectional characters, no "..", at most
    LONGEST characters with the beginning and the end kept. Two different names may become equal."""
    composed = unicodedata.normalize("NFC", name)
    visible = "".join("\ufffd" if unicodedata.category(char) in _DECEIVING else char for char in composed)
    parts = (part.strip() for part in _SEPARATORS.split(visible))
    short = _shorten("/".join(part for part in parts if part not in {"", ".", ".."}))
    return short or "(no name)"


def _shorten(name: str) -> str:
    if len(name) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def is_system_file(name: str) -> bool:
    """Say whether an operating system left this file beside the images, without anybody having chosen it."""
    *folders, base = _SEPARATORS.split(name)
    return "__MACOSX" in folders or base.lower() in SYSTEM_FILES
