"""The language of a request: texts from catalogues, numbers as its readers write them.

English is in the code. Every other language is one file, `locales/<tag>.po`, here or in the data folder of an
installation, whose files win; it is read once, at the start. docs/languages.md says how to add one.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import get_settings

LOCALES = Path(__file__).parent / "locales"
ENGLISH = "en"
VALUE = re.compile(r"%\\\((\w+)\\\)s")  # a %(name)s after re.escape
ACCEPTED = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([01](?:\.\d{1,3})?))?")


STORING = ("workers/", "app/reports/")  # whose texts are stored, with values in them


@dataclass(frozen=True)
class Language:
    """A language people can choose."""

    tag: str  # BCP 47, as in <html lang>
    locale: Locale
    texts: NullTranslations
    catalog: Catalog

    @cached_property
    def patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """What the texts of workers look like with values in them, and how this language says them; first those of most
        words, for a few words and a value fit many texts."""
        found = [
            (re.escape(str(message.id)), str(message.string))
            for message in self.catalog
            if message.string
            and "%(" in message.id
            and any(place.startswith(STORING) for place, _line in message.locations)
        ]
        found.sort(key=lambda pair: len(VALUE.sub("", pair[0])), reverse=True)
        return [(re.compile(VALUE.sub(r"(?P<\1>.+)", text)), translated) for text, translated in found]

    @property
    def name(self) -> str:
        """What its speakers call it."""
        return (self.locale.get_display_name() or self.tag).capitalize()


@lru_cache
def languages() -> dict[str, Language]:
    """Return every language by its tag, English first. Raises ValueError that names a file that cannot be read."""
    folders = (LOCALES, get_settings().data_dir / "locales")
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.po"))}
    english = Language(ENGLISH, Locale(ENGLISH), NullTranslations(), Catalog(ENGLISH))
    return {ENGLISH: english, **{tag: _read(tag, path) for tag, path in files.items()}}


def _read(tag: str, path: Path) -> Language:
    compiled = BytesIO()
    try:
        locale = Locale.parse(tag, sep="-")
        with path.open("rb") as file:
            catalog = read_po(file, locale, abort_invalid=True)
        write_mo(compiled, catalog)
    except (PoFileError, UnknownLocaleError, ValueError) as error:
        raise ValueError(f"{path} is no catalogue of a language: {error}") from error
    compiled.seek(0)
    return Language(tag, locale, GNUTranslations(compiled), catalog)


class _Reader:
    """Who reads the answer to a request. Routes run in threads, which see the same object and may change it."""

    def __init__(self, tag: str) -> None:
        self.tag = tag


_reader: ContextVar[_Reader | None] = ContextVar("reader", default=None)


class ReaderLanguage:
    """Answer each request in the language its Accept-Language asks for, until somebody calls `speak`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            _reader.set(_Reader(asked_for(Headers(scope=scope).get("accept-language", ""))))
        await self.app(scope, receive, send)


def asked_for(accept_language: str) -> str:
    """Return the tag of the first language of an Accept-Language header that there is (RFC 9110 section 12.5.4)."""
    wanted = sorted(ACCEPTED.findall(accept_language), key=lambda found: -float(found[1] or 1))
    return negotiate_locale([tag for tag, _quality in wanted], list(languages()), sep="-") or ENGLISH


def speak(tag: str | None) -> None:
    """Answer this request in a language; None, or one that is no longer there, changes nothing."""
    reader = _reader.get()
    if reader and tag in languages():
        reader.tag = tag


def language() -> Language:
    """Return the language of this request; English in workers and on the console."""
    reader = _reader.get()
    return languages()[reader.tag if reader else ENGLISH]


def _(text: str, /, **values: Any) -> str:
    """Return a text in the language of this request. A % sign is written %%, a value %(name)s."""
    return language().texts.gettext(text) % values


def ngettext(one: str, many: str, num: int, /, **values: Any) -> str:
    """Return the text that goes with a number; %(num)s in it is the number as people write it."""
    return language().texts.ngettext(one, many, num) % {"num": number(num), **values}


def N_(text: str) -> str:  # noqa: N802 - the name that tools for catalogues know
    """Mark a text that is translated later, with `_`, when somebody reads it."""
    return text


def stored(text: str) -> str:
    """Return in the language of this request what a worker has stored in English, one text a line.

    What the catalogue does not know, such as the message of an exception, stays as it is.
    """
    return " ".join(_stored_line(line) for line in text.splitlines() if line)


def _stored_line(line: str) -> str:
    whole = language().texts.gettext(line)
    if whole != line:
        return whole
    for pattern, translated in language().patterns:
        if found := pattern.fullmatch(line):
            return translated % found.groupdict()
    return line


def number(value: float, digits: int = 0) -> str:
    """Return a number with the separators of the reader: 1,234.5 or 1.234,5."""
    return format_decimal(round(value, digits), f"#,##0.{'0' * digits}", language().locale)


def p_value(value: float) -> str:
    """Return a p-value; one that would read 0 is said to be below the smallest that can be read."""
    return number(value, 3) if value >= 0.001 else f"< {number(0.001, 3)}"


def decimal(value: float) -> str:
    """Return a number with as many digits behind the decimal sign as it has, at most six."""
    return format_decimal(value, "#,##0.######", language().locale)


def day(value: date) -> str:
    """Return a day as its reader writes it; English keeps the international form, 2026-11-22."""
    found = language()
    return value.isoformat() if found.tag == ENGLISH else format_date(value, "medium", found.locale)


def percent(share: float, digits: int = 0) -> str:
    """Return a share between 0 and 1 in per cent."""
    return f"{number(100 * share, digits)} %"
