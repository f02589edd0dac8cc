"""The keys of the labelling page: what each is by default, and what a person has made of them.

A key is written as people say it: "n", "Shift+N", "Ctrl+Z", "PageUp". static/js/keys.js names a press in the same way.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.errors import Invalid, NotFound
from app.language import N_, _
from app.models import CellClass, User

COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
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
KEY = re.compile(r"(Ctrl\+)?(Shift\+)?([^\s?+]|Space|Enter|Backspace|Delete|Insert|PageUp|PageDown|F[1-9]|F1[0-2])")
NAMES = {
    "Ctrl": N_("Ctrl"), "Shift": "⇧", "Space": N_("Space"), "Enter": N_("Enter"), "Backspace": "⌫",
    "Delete": N_("Del"), "PageUp": N_("Page ↑"), "PageDown": N_("Page ↓"),
}  # fmt: skip

Bindings = dict[str, list[str]]


class KeyForm(BaseModel):
    """Another key for a command; no key brings back those it has by default, for all commands if none is named."""

    model_config = ConfigDict(extra="forbid")

    command: str = ""
    key: str = Field("", max_length=30)


def in_force(own: Mapping[str, str], class_keys: Iterable[str]) -> Bindings:
    """Return the keys of each command. Keys of classes belong to the project and win, a person's own over defaults."""
    classes, mine = set(class_keys), set(own.values())
    keys: Bindings = {}
    for command, (defaults, _words) in COMMANDS.items():
        chosen = [own[command]] if command in own and own[command] not in classes else []
        keys[command] = chosen or [key for key in defaults if key not in classes | mine]
    return keys


def choose(user: User, form: KeyForm, classes: Mapping[str, CellClass]) -> None:
    """Give a command another key, kept with the person. Raises NotFound, or Invalid that names who has the key."""
    if not form.command:
        user.keys = {}
        return
    if form.command not in COMMANDS:
        raise NotFound(_("There is no such command."))
    others = {name: key for name, key in user.keys.items() if name != form.command}
    wanted = (form.key,) if form.key else COMMANDS[form.command][0]
    taken = {key: name for name, keys in in_force(others, ()).items() if name != form.command for key in keys}
    for key in wanted:
        if not KEY.fullmatch(key):
            raise Invalid(_("%(key)s cannot be given to a command.", key=text(key)))
        if found := [item.name for item in classes.values() if item.key == key]:
            raise Invalid(_("%(key)s is the key of the class %(name)s.", key=text(key), name=found[0]))
        if key in taken:
            raise Invalid(_("%(key)s is taken: %(words)s.", key=text(key), words=_(COMMANDS[taken[key]][1])))
    user.keys = {**others, form.command: form.key} if form.key else others


def text(key: str) -> str:
    """Return a key as it is printed: ⇧ N, Ctrl Z."""
    return " ".join(_(NAMES[part]) if part in NAMES else part for part in key.split("+"))


def sheet(user: User, classes: Mapping[str, CellClass]) -> dict[str, dict[str, Any]]:
    """Return what the page prints: keys of each command, their texts, those by default, words, and whether changed."""
    keys = in_force(user.keys, (item.key for item in classes.values() if item.key))
    return {
        name: {
            "keys": keys[name],
            "texts": [text(key) for key in keys[name]],
            "default": text(defaults[0]),
            "words": _(words),
            "own": name in user.keys,
        }
        for name, (defaults, words) in COMMANDS.items()
    }
