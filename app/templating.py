"""Pages and fragments: `render` picks the whole template or one block of it."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2_fragments import render_block
from markupsafe import Markup, escape

from app.language import _, day, decimal, language, ngettext, number, p_value, percent, stored
from app.messages import script_address

TEMPLATES = Path(__file__).parent.parent / "templates"
STATIC = TEMPLATES.parent / "static"
CODE = re.compile("`([^`]+)`")


@lru_cache
def environment() -> Environment:
    """Return the Jinja environment: everything escaped, a missing variable is an error."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do", "jinja2.ext.i18n"],
    )
    env.newstyle_gettext = True  # type: ignore[attr-defined]  # `trans` gives its values to our functions
    env.globals |= {"_": _safely(_), "gettext": _safely(_), "ngettext": _safely(ngettext), "language": language}
    env.globals["script_address"] = script_address
    env.filters["percent"] = percent
    env.filters["count"] = number
    env.filters["decimal"] = decimal
    env.filters["p_value"] = p_value
    env.filters["stored"] = stored
    env.filters["day"] = day
    env.filters["moment"] = _moment
    env.filters["code"] = lambda text: Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before
    return env


def _safely(translate: Callable[..., str]) -> Callable[..., Markup]:
    """Let the texts of catalogues be markup, and escape the values put into them."""

    def translated(*texts: Any, **values: Any) -> Markup:
        return Markup(translate(*texts, **{name: escape(value) for name, value in values.items()}))  # noqa: S704

    return translated


def _moment(value: datetime) -> Markup:
    """Return a time in UTC as an element that static/js/times.js turns into local time."""
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(value.isoformat(), value)


def render(
    request: Request,
    template: str,
    *,
    block: str | None = None,
    status: int = 200,
    extra_headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Answer with a template, or with `block` of it when htmx asks for a fragment.

    The signed-in user and the CSRF token of the session come from the request, put there by the accounts.
    """
    context.setdefault("user", getattr(request.state, "user", None))
    context.setdefault("project", None)
    context.setdefault("active", "")
    context["csrf_token"] = getattr(request.state, "csrf_token", "")
    if block and request.headers.get("HX-Request") == "true":
        html = render_block(environment(), template, block, **context)
    else:
        html = environment().get_template(template).render(**context)
    headers = {"Vary": "HX-Request", "Cache-Control": "no-store", **(extra_headers or {})}
    return HTMLResponse(html, status_code=status, headers=headers)
