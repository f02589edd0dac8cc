"""Texts in the language of the reader: every text of the code has its German, and a lab can add a language."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from fastapi import Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.db import now
from app.language import LOCALES, STORING, ReaderLanguage, asked_for, languages, stored
from app.models import User
from tests.browsing import submit
from tests.factories import make_project, make_user

SignIn = Callable[[User], TestClient]
ROOT = Path(__file__).parent.parent
PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|%")
FRENCH = """
msgid ""
msgstr "Plural-Forms: nplurals=2; plural=(n > 1);"

msgid "Save language"
msgstr "Enregistrer la langue"
"""


def test_no_text_hides_where_the_extractor_does_not_look() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in ("app", "workers")
        for path in (ROOT / folder).rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("_", "ngettext", "N_")
    ]
    assert hidden == [], "take these out of their f-strings"


def test_texts_that_are_stored_with_values_in_them_are_translated_when_they_are_read() -> None:
    storing = {
        str(path.relative_to(ROOT))
        for folder in ("app", "workers")
        for path in (ROOT / folder).rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.BinOp) and isinstance(text.op, ast.Mod) and isinstance(text.left, ast.Call)
        if isinstance(text.left.func, ast.Name) and text.left.func.id == "N_"
    }
    assert storing
    assert [path for path in storing if not path.startswith(STORING)] == []


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The texts in the code, as `make messages` finds them."""
    found = tmp_path_factory.mktemp("messages") / "texts.pot"
    options = re.search(r"^EXTRACT := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", *options, f"--output={found}"]
    subprocess.run([*command, "app", "workers", "templates", "static/js"], cwd=ROOT, check=True)
    with found.open("rb") as file:
        return read_po(file)


@pytest.fixture(scope="module")
def german() -> Catalog:
    with (LOCALES / "de.po").open("rb") as file:
        return read_po(file, "de", abort_invalid=True)


def forms(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def key(message: Message) -> tuple[str, ...]:
    return forms(message.id)


def test_every_text_of_the_code_has_its_german(extracted: Catalog, german: Catalog) -> None:
    translated = {key(message) for message in german if message.id and all(forms(message.string)) and not message.fuzzy}
    wanted = {key(message) for message in extracted if message.id}
    assert wanted - translated == set(), "make messages, then translate these in app/locales/de.po"
    assert translated - wanted == set(), "make messages: these are no longer in the code"
    assert not german.obsolete
    assert len(wanted) > 3


def test_a_translation_has_the_placeholders_of_its_text(german: Catalog) -> None:
    for message in filter(lambda each: each.id, german):
        wanted = set(PLACEHOLDER.findall(forms(message.id)[-1]))
        assert "%" not in wanted, f"write %% for a percent sign: {message.id}"
        for text in forms(message.string):
            # "one cell" may leave its number out.
            assert wanted - {"%(num)s"} <= set(PLACEHOLDER.findall(text)) <= wanted, text


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, de;q=0.9, en;q=0.8", "de"),
        ("en-GB, en;q=0.9, de;q=0.8", "en"),
        ("en;q=0.2, de;q=0.7", "de"),
        ("nl, de;q=0.5, *;q=0.1", "de"),
        ("nl", "en"),
        ("'; q=; \x00", "en"),
    ],
)
def test_the_browser_says_which_language_is_read(header: str, tag: str) -> None:
    assert asked_for(header) == tag


def test_the_account_says_it_louder(sign_in: SignIn) -> None:
    client = sign_in(make_user())
    client.headers["Accept-Language"] = "de"
    german = client.get("/account").text
    assert '<html lang="de">' in german
    assert "Sprache speichern" in german

    assert submit(client, "/account", "/account/language", language="en").status_code == 303
    english = client.get("/account").text
    assert '<html lang="en">' in english
    assert "Save language" in english
    assert "/messages/" not in english, "English is in the scripts"

    refused = submit(client, "/account", "/account/language", language="xx")
    assert refused.status_code == 422
    assert "There is no such language." in refused.text
    assert submit(client, "/account", "/account/language", language="").status_code == 303
    assert '<html lang="de">' in client.get("/account").text, "as the browser says again"


def test_programs_are_answered_in_english_unless_they_ask(client: TestClient) -> None:
    make_user()
    assert client.get("/api/v1/projects").json()["title"] == "Sign in first"
    german = client.get("/api/v1/projects", headers={"Accept-Language": "de"}).json()
    assert german["title"].startswith("Bitte melden")


@pytest.fixture
def own_languages(installation: Path) -> Iterator[Path]:
    """The folder where a lab puts its catalogues; call `languages.cache_clear()` for a new start."""
    folder = installation / "locales"
    folder.mkdir()
    yield folder
    languages.cache_clear()


def test_a_lab_adds_its_language_by_one_file(own_languages: Path, sign_in: SignIn) -> None:
    client = sign_in(make_user())
    assert "Français" not in client.get("/account").text
    (own_languages / "fr.po").write_text(FRENCH)
    languages.cache_clear()
    assert ">Français</option>" in client.get("/account").text
    submit(client, "/account", "/account/language", language="fr")
    page = client.get("/account").text
    assert '<html lang="fr">' in page
    assert "Enregistrer la langue" in page
    assert "Change password" in page, "what is not translated yet stays English"


@pytest.mark.parametrize(("name", "text"), [("fr.po", "Bonjour"), ("klingon-x.po", FRENCH), ("fr.po", 'msgid "a')])
def test_a_file_that_is_no_catalogue_is_named_at_the_start(own_languages: Path, name: str, text: str) -> None:
    (own_languages / name).write_text(text)
    languages.cache_clear()
    with pytest.raises(ValueError, match=name):
        languages()
    (own_languages / name).unlink()
    assert list(languages()) == ["en", "de"]


def test_days_are_written_as_their_reader_does(sign_in: SignIn) -> None:
    manager, project = make_user("manager"), make_project()
    client = sign_in(manager)
    today = now().date()
    assert f"to {today.isoformat()}" in client.get(f"/projects/{project.id}/team").text
    client.headers["Accept-Language"] = "de"
    assert f"bis {today:%d.%m.%Y}" in client.get(f"/projects/{project.id}/team").text


def test_a_stored_text_is_told_by_its_own_translation_and_no_other(german: Catalog) -> None:
    """`Fewer than 100 cells` is no "%(cells)s cells"."""
    wanted = {}
    for message in german:
        stores = any(place.startswith(STORING) for place, _line in message.locations)
        plain = isinstance(message.id, str) and message.id and "\n" not in message.id
        if plain and ("%" not in message.id or (stores and "%(" in message.id)):
            values = dict.fromkeys(re.findall(r"%\((\w+)\)s", message.id), "7")
            wanted[message.id % values if values else message.id] = (
                message.string % values if values else message.string
            )
    assert "Fewer than 100 cells" in wanted
    texts = list(wanted)
    found = dict(zip(texts, in_german(texts), strict=True))
    assert {text: told for text, told in found.items() if told != wanted[text]} == {}


def in_german(texts: list[str]) -> list[str]:
    async def tell(request: Request) -> JSONResponse:
        return JSONResponse([stored(text) for text in await request.json()])

    client = TestClient(ReaderLanguage(Starlette(routes=[Route("/", tell, methods=["POST"])])))
    answer = client.post("/", json=texts, headers={"Accept-Language": "de"})
    return answer.json()  # type: ignore[no-any-return]
