"""The description of the REST interface: OpenAPI 3.1 for programs, a page for people. Public, like its source code."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from app.rest import PREFIX, FieldProblem, Problem
from app.templating import render

SUMMARY = """Send slides, label cells, fetch predictions and classifiers.

Every request carries `Authorization: Bearer <token>`. Errors are problem documents (RFC 9457), lists are cursor pages,
a POST may carry an `Idempotency-Key`, and what takes long is a job whose address is in `Location`.
"""


def install(app: FastAPI) -> None:
    """Serve the description of the endpoints the application has."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the way FastAPI documents to extend it
    app.add_api_route(f"{PREFIX}/docs", _page, include_in_schema=False)


def _describe(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=SUMMARY, routes=app.routes)
    for model in (FieldProblem, Problem):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        found["components"]["schemas"][model.__name__] = schema
    return found


def _page(request: Request) -> HTMLResponse:
    """Show the endpoints, their parameters, bodies and answers."""
    document = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_endpoint(method, path, operation))
    schemas = {name: _schema(schema) for name, schema in document["components"]["schemas"].items()}
    return render(
        request,
        "rest/docs.html",
        openapi_url=request.app.openapi_url,
        info=document["info"],
        groups=groups,
        schemas=schemas,
    )


def _endpoint(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Return what the page says about an endpoint."""
    return {
        "id": operation["operationId"],
        "call": f"{method.upper()} {path}",
        "summary": operation["summary"],
        "paragraphs": operation["description"].split("\n\n"),
        "parameters": [
            {
                "name": each["name"],
                "place": each["in"],
                "required": each.get("required", False),
                "type": type_name(each["schema"]),
                "description": each.get("description") or each["schema"].get("description", ""),
            }
            for each in operation.get("parameters", [])
        ],
        "bodies": _contents(operation.get("requestBody", {})),
        "answers": [
            {"status": status, "description": answer["description"], "contents": _contents(answer)}
            for status, answer in operation["responses"].items()
        ],
    }


def _contents(holder: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the media types of a body; one that is no component brings its fields along."""
    found = holder.get("content", {})
    return [
        {
            "media_type": media_type,
            "type": type_name(content.get("schema", {})),
            "fields": _schema(content.get("schema", {}))["fields"],
        }
        for media_type, content in found.items()
    ]


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what the page says about a schema."""
    required = schema.get("required", [])
    fields = [
        {
            "name": name,
            "type": type_name(each),
            "required": name in required,
            "description": each.get("description", ""),
        }
        for name, each in schema.get("properties", {}).items()
    ]
    return {"description": schema.get("description", ""), "fields": fields}


def type_name(schema: dict[str, Any]) -> str:
    """Say in a few words what a JSON schema accepts; the name of a component where it is one."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(type_name(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) or '""' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_name(schema['additionalProperties'])}"
    return str(schema.get("format") or schema.get("type") or schema.get("const") or "anything")
