"""The texts that scripts show, as one script per language; static/js/messages.js reads what it leaves."""

import hashlib
import json
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Response

from app.errors import NotFound
from app.language import ENGLISH, Language, _, languages

router = APIRouter()
SCRIPT = "globalThis.fiftycells = {{texts: {texts}, plural: (n) => Number({plural})}};\n"


@lru_cache
def _script(tag: str) -> str:
    """Return the script; the formula of plurals was checked when the catalogue was read, and is JavaScript as it is."""
    catalog = languages()[tag].catalog
    shown = (each for each in catalog if any(place.endswith(".js") for place, _line in each.locations))
    texts = {_forms(each.id)[0]: _forms(each.string) for each in shown if not each.fuzzy}
    return SCRIPT.format(texts=json.dumps(texts, ensure_ascii=False, sort_keys=True), plural=catalog.plural_expr)


def _forms(texts: Any) -> list[str]:
    """Return the singular and the plurals, or the only form of a text."""
    return [texts] if isinstance(texts, str) else list(texts)


def script_address(language: Language) -> str | None:
    """Return where a page finds the texts of its scripts; another address after every change. None for English."""
    if language.tag == ENGLISH:
        return None
    return f"/messages/{language.tag}.js?{hashlib.sha256(_script(language.tag).encode()).hexdigest()[:12]}"


@router.get("/messages/{tag}.js")
def messages(tag: str) -> Response:
    """Return the texts of a language."""
    if tag not in languages():
        raise NotFound(_("There is no such language."))
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_script(tag), media_type="text/javascript; charset=utf-8", headers=headers)
