"""The API's OpenAPI 3.1 document, made from the operations, and the same as a page of docs."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import msgspec

from mxlab.board.endpoint import PREFIX, Operation
from mxlab.board.operations import GROUPS, OPERATIONS
from mxlab.board.views import Trouble

_REF = "#/components/schemas/{name}"
ERRORS = {
    "400": "The request makes no sense; nothing was done.",
    "401": "No token, or a wrong one.",
    "403": "The Host or the Origin is another's.",
    "404": "There is nothing of that name.",
    "408": "The body came too slowly.",
    "409": "The node refuses, or this world cannot do it.",
    "413": "The body is too large.",
    "503": "The lab is down, or a node does not answer.",
}


def openapi(base: str = "") -> dict[str, Any]:
    """The document, as plain data; `base`: the path below which a proxy has the board."""
    kinds = {op.replies for op in OPERATIONS if op.replies is not None and not op.media_types}
    asked = {op.asks for op in OPERATIONS}
    schemas, components = msgspec.json.schema_components(
        [*kinds, *asked, Trouble], ref_template=_REF
    )
    by_kind = dict(zip([*kinds, *asked, Trouble], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for op in OPERATIONS:
        paths.setdefault(PREFIX + op.path, {})[op.method.lower()] = _operation(
            op, by_kind, components
        )
    paths[f"{PREFIX}/events"] = {"get": _events(by_kind)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mxlab",
            "version": version("mxlab"),
            "description": "A mail lab that is up, for programs in any language.",
        },
        "servers": [{"url": base or "/"}],
        "security": [{"token": []}],
        "tags": [{"name": group.name, "description": group.about} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": {name: components[name] for name in sorted(components)},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    op: Operation[Any, Any], by_kind: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    asks = components[op.asks.__name__]
    properties: dict[str, Any] = asks.get("properties", {})
    found: dict[str, Any] = {
        "operationId": op.name,
        "tags": [op.group],
        "summary": op.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _of_path(properties[name])}
            for name in op.in_path
        ],
        "responses": {"200": _reply(op, by_kind), **_errors(by_kind)},
    }
    beside = {name: schema for name, schema in properties.items() if name not in op.in_path}
    if op.has_body:
        required = [name for name in asks.get("required", []) if name in beside]
        body = {"type": "object", "properties": beside, "required": required}
        found["requestBody"] = {
            "required": bool(required),
            "content": {"application/json": {"schema": body | {"additionalProperties": False}}},
        }
    else:
        found["parameters"] += [
            {"name": name, "in": "query", "schema": schema} for name, schema in beside.items()
        ]
    return found


def _events(by_kind: dict[Any, Any]) -> dict[str, Any]:
    """The one that never ends, which is no operation of the table."""
    number = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
    return {
        "operationId": "follow_events",
        "tags": ["lab"],
        "summary": "Events as they come, as server-sent events: those after the number `after`, or "
        "from now on; the header Last-Event-ID says the same.",
        "parameters": [{"name": "after", "in": "query", "schema": number}],
        "responses": {
            "200": {"description": "Without end.", "content": {"text/event-stream": {}}},
            **_errors(by_kind),
        },
    }


def _errors(by_kind: dict[Any, Any]) -> dict[str, Any]:
    return {
        code: {"description": text, "content": {"application/json": {"schema": by_kind[Trouble]}}}
        for code, text in ERRORS.items()
    }


def _of_path(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"minLength": 1} if schema.get("type") == "string" else schema


def _reply(op: Operation[Any, Any], by_kind: dict[Any, Any]) -> dict[str, Any]:
    if op.media_types:
        content: dict[str, Any] = {kind: {} for kind in op.media_types}
    else:
        content = {"application/json": {"schema": by_kind[op.replies]}}
    return {"description": "As asked.", "content": content}


def page() -> str:
    """The same for people: docs/api.md."""
    return "\n".join(_lines(openapi())) + "\n"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield from (
        "# The HTTP API",
        "",
        "Made by `mxlab board --markdown`; the document itself is `mxlab board --openapi` and, of",
        f"a board that runs, `{PREFIX}/openapi.json`. How to begin is in [board.md](board.md).",
    )
    for tag in document["tags"]:
        yield from ("", f"## {tag['name']}", tag["description"], "")
        for path, methods in document["paths"].items():
            for method, op in methods.items():
                if op["tags"] == [tag["name"]]:
                    yield from _entry(path, method, op)
    yield from ("", "## What is taken and returned", "")
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)


def _entry(path: str, method: str, op: dict[str, Any]) -> Iterator[str]:
    asked = [p["name"] for p in op["parameters"] if p["in"] == "query"]
    if "requestBody" in op:
        body = op["requestBody"]["content"]["application/json"]["schema"]
        asked = list(body["properties"])
    takes = f" Takes {', '.join(f'`{name}`' for name in asked)}." if asked else ""
    (media, content), *_ = op["responses"]["200"]["content"].items()
    kind = _kind(content["schema"]) if "schema" in content else f"`{media}`"
    yield f"- `{method.upper()} {path}`: {op['summary']}{takes} Returns {kind}."


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    about = " ".join(schema.get("description", "").split())
    fields = ", ".join(f"`{key}`: {_kind(of)}" for key, of in schema.get("properties", {}).items())
    yield f"- **{name}**: {about}" + (f" {fields}." if fields else "")


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"a list of {_kind(schema.get('items', {}))}"
    return {
        "string": "text", "integer": "a whole number", "number": "a number", "null": "null",
        "boolean": "true or false", "object": "a mapping",
    }.get(schema.get("type", ""), "anything")  # fmt: skip
