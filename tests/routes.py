"""The routes the application has, for tests that must know about each of them."""

import re

from fastapi.routing import iter_route_contexts

from app.main import app


def served() -> list[str]:
    """Every route as "GET /projects/{project_id}", pages and REST, without static files."""
    found = {
        f"{method} {each.path}"
        for each in iter_route_contexts(app.routes)
        for method in (each.methods or ())
        if method != "HEAD"
    }
    return sorted(found)


def in_path(route: str) -> list[str]:
    """The names of the ids in the path of a route."""
    return re.findall(r"{(\w+)}", route)
