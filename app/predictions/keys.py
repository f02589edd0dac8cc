"""The keys of the labelling page and of the map: what each is by default, and what a person has made of them.

A key is written as people say it: "n", "Shift+N", "Ctrl+Z", "PageUp". static/js/keys.js names a press in the same way.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.errors import Invalid, NotFound
from app.language import N_, _
from app.models import CellClass, User

Commands = dict[str, tuple[tuple[str, ...], str]]
"""Default keys and words of each command of a page. One that two pages have has the same key on both."""

GRID: Commands = {
    "accept": (("Enter",), N_("Accept the prediction of these cells")),
    "nextBatch": (("Shift+N",), N_("Next cells to label: those that teach the classifier most")),
    "similar": (("Shift+S",), N_("Cells most similar to this one")),
    "selectUntil": (("Shift+E",), N_("Select all up to this one")),
    "conflicts": (("Shift+C",), N_("Labels that others contradict")),
    "keep": (("Shift+K",), N_("Keep the label of this one")),
    "review": (("Shift+R",), N_("Review the predictions of one class: the one chosen as filter, or the largest")),
    "acceptPage": (
        ("Shift+A",),
        N_("Accept all predictions of the page; in a review all but the selected cells, and turn the page"),
    ),
    "pageRight": (("Shift+J",), N_("In a review: the page is right, jump on")),
    "pageWrong": (("Shift+F",), N_("In a review: it is not all right, go back half-way")),
    "acceptUntil": (("Shift+U",), N_("In a review: accept everything up to the place the jumps have found")),
    "second": (("Shift+B",), N_("Read labelled cells blind")),
    "audit": (("Shift+Q",), N_("Label cells of the audit")),
    "adjudicate": (("Shift+V",), N_("Settle what was not read alike")),
    "remove": (("Backspace", "Delete"), N_("Remove the label")),
    "undo": (("Ctrl+Z",), N_("Undo, any number of steps")),
    "redo": (("Ctrl+Y", "Ctrl+Shift+Z"), N_("Do again what was undone")),
    "recent": (("Shift+H",), N_("Your recent actions: undo any of them")),
    "zoom": (("Space",), N_("Look at the cell in large; while the key is held, or until it is pressed again")),
    "selectAll": (("Ctrl+A",), N_("Select the page")),
    "previousPage": (("PageUp",), N_("Previous page")),
    "nextPage": (("PageDown",), N_("Next page")),
    "smaller": (("[",), N_("Smaller cells")),
    "larger": (("]",), N_("Larger cells")),
    "darker": ((",",), N_("Darker pictures")),
    "brighter": ((".",), N_("Brighter pictures")),
    "flatter": ((";",), N_("Less contrast")),
    "crisper": ((":",), N_("More contrast")),
    "neutral": (("Shift+X",), N_("Pictures as they are stored")),
}
MAP: Commands = {
    "open": (("Enter",), N_("Look at the cell in large")),
    "similar": GRID["similar"],
    "color": (("Shift+T",), N_("Colour by class, prediction, scanner, confidence")),
    "unlabelled": (("Shift+O",), N_("Only cells without a label")),
    "lasso": (("Shift+L",), N_("Lasso: the next drag catches what it surrounds")),
    "window": (("Shift+W",), N_("Catch all cells in sight")),
    "around": (("Shift+M",), N_("Catch the 200 cells around the cursor")),
    "grid": (("Shift+G",), N_("Show what is caught in the grid, to be labelled there")),
    "closer": (("+", "="), N_("Closer")),
    "farther": (("-",), N_("Farther away")),
    "whole": (("0",), N_("The whole map")),
}
PAGES = {"grid": GRID, "map": MAP}
KEY = re.compile(r"(Ctrl\+)?(Shift\+)?([^\s?]|Space|Enter|Backspace|Delete|Insert|PageUp|PageDown|F[1-9]|F1[0-2])")
NAMES = {
    "Ctrl": N_("Ctrl"), "Shift": "⇧", "Space": N_("Space"), "Enter": N_("Enter"), "Backspace": "⌫",
    "Delete": N_("Del"), "PageUp": N_("Page ↑"), "PageDown": N_("Page ↓"), "-": "\N{MINUS SIGN}",
}  # fmt: skip

Bindings = dict[str, list[str]]


class KeyForm(BaseModel):
    """Another key for a command; no key brings back those it has by default, for all commands of the page
    if none is named."""

    model_config = ConfigDict(extra="forbid")

    page: Literal["grid", "map"] = "grid"
    command: str = ""
    key: str = Field("", max_length=30)


def in_force(commands: Commands, own: Mapping[str, str], class_keys: Iterable[str]) -> Bindings:
    """Return the keys of each command. Keys of classes belong to the project and win, a person's own over defaults."""
    classes = set(class_keys)
    mine = {key for name, key in own.items() if name in commands}
    keys: Bindings = {}
    for command, (defaults, _words) in commands.items():
        chosen = [own[command]] if command in own and own[command] not in classes else []
        keys[command] = chosen or [key for key in defaults if key not in classes | mine]
    return keys


def choose(user: User, form: KeyForm, classes: Mapping[str, CellClass]) -> None:
    """Give a command another key, kept with the person. Raises NotFound, or Invalid that names who has the key."""
    if not form.command:
        user.keys = {name: key for name, key in user.keys.items() if name not in PAGES[form.page]}
        return
    pages = [commands for commands in PAGES.values() if form.command in commands]
    if not pages:
        raise NotFound(_("There is no such command."))
    others = {name: key for name, key in user.keys.items() if name != form.command}
    wanted = (form.key,) if form.key else pages[0][form.command][0]
    taken = {
        key: commands[name][1]
        for commands in pages
        for name, keys in in_force(commands, others, ()).items()
        for key in keys
        if name != form.command
    }
    for key in wanted:
        if not KEY.fullmatch(key):
            raise Invalid(_("%(key)s cannot be given to a command.", key=text(key)))
        found = [item.name for item in classes.values() if item.key == key]
        if found and GRID in pages:
            raise Invalid(_("%(key)s is the key of the class %(name)s.", key=text(key), name=found[0]))
        if key in taken:
            raise Invalid(_("%(key)s is taken: %(words)s.", key=text(key), words=_(taken[key])))
    user.keys = {**others, form.command: form.key} if form.key else others


def text(key: str) -> str:
    """Return a key as it is printed: ⇧ N, Ctrl Z."""
    parts = re.split(r"\+(?=.)", key)
    return " ".join(_(NAMES[part]) if part in NAMES else part for part in parts)


def sheet(user: User, classes: Mapping[str, CellClass], commands: Commands = GRID) -> dict[str, dict[str, Any]]:
    """Return what the page prints: keys of each command, their texts, those by default, words, and whether changed."""
    of_classes = [item.key for item in classes.values() if item.key] if commands is GRID else []
    keys = in_force(commands, user.keys, of_classes)
    return {
        name: {
            "keys": keys[name],
            "texts": [text(key) for key in keys[name]],
            "default": text(defaults[0]),
            "words": _(words),
            "own": name in user.keys,
        }
        for name, (defaults, words) in commands.items()
    }
