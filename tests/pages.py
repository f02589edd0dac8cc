"""Reads pages as a browser does."""

from dataclasses import dataclass
from html.parser import HTMLParser

from fastapi.testclient import TestClient


@dataclass
class Grid:
    """What the grid shows: attributes of the page, and of each tile without their `data-`."""

    url: str
    page: dict[str, str]
    tiles: list[dict[str, str]]

    @property
    def ids(self) -> list[int]:
        return [int(tile["cell-id"]) for tile in self.tiles]

    @property
    def note(self) -> str:
        return self.page.get("note", "")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page: dict[str, str] = {}
        self.tiles: list[dict[str, str]] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        data = {name.removeprefix("data-"): value for name, value in given.items() if name.startswith("data-")}
        if given.get("id") == "grid":
            self.page = data
        elif given.get("class") == "tile":
            self.tiles.append({"why": "", **data})


def grid_of(client: TestClient, url: str) -> Grid:
    """Open a page of the grid."""
    reader = _Reader()
    reader.feed(client.get(url, headers={"HX-Request": "true"}).raise_for_status().text)
    return Grid(url, reader.page, reader.tiles)
