"""The page at `/docs`: the OpenAPI description as HTML, without scripts, so that it asks no other host for anything."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI, Response

from serving.server.page import HEADERS

METHODS = ("get", "put", "post", "delete", "patch")
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
LENGTHS = {"minLength": "length ≥ {}", "maxLength": "length ≤ {}", "minItems": "items ≥ {}", "maxItems": "items ≤ {}"}


def add(app: FastAPI) -> None:
    """Add the route of the page."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return Response(html(app.openapi()), media_type="text/html; charset=utf-8", headers=HEADERS)


def html(described: Mapping[str, Any]) -> str:
    """Return a page of an OpenAPI description."""
    title = escape(described["info"]["title"])
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}: API</title>\n"
            '<link rel="icon" href="data:,">\n<link rel="stylesheet" href="page/page.css">\n</head>\n<body>\n'
            f"<header><h1>{title}</h1>\n<p>{escape(described['info'].get('description', ''))} "
            '<a href="openapi.json">OpenAPI</a></p></header>\n<main>\n',
            *_routes(described["paths"]),
            "<h2>Bodies and answers</h2>\n",
            *_schemas(described.get("components", {}).get("schemas", {})),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _routes(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in paths.items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                yield f"<section>\n<h2><code>{method.upper()} {escape(path)}</code></h2>\n"
                yield f"<p>{escape(operation.get('description', operation.get('summary', '')))}</p>\n"
                yield _table(
                    ("parameter", "type", "meaning"),
                    [
                        (each["name"], _type(each["schema"]), escape(_text(each, each["schema"])))
                        for each in operation.get("parameters", [])
                    ],
                )
                if body := operation.get("requestBody"):
                    yield f"<p>Body: {_content(body)}</p>\n"
                answers = operation["responses"].items()
                rows = [(status, _content(each), escape(each["description"])) for status, each in answers]
                yield _table(("status", "answer", "meaning"), rows)
                yield "</section>\n"


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<section id="{escape(name)}">\n<h3>{escape(name)}</h3>\n'
        yield f"<p>{escape(schema.get('description', ''))}</p>\n"
        required = schema.get("required", [])
        rows = [
            (key + ("" if key in required else " (optional)"), _type(each), escape(_text(each, each)))
            for key, each in schema.get("properties", {}).items()
        ]
        yield _table(("key", "type", "meaning"), rows)
        yield "</section>\n"


def _content(part: Mapping[str, Any]) -> str:
    """Return the types of a body or an answer."""
    kinds = part.get("content", {})
    return ", ".join(_type(each["schema"]) if "schema" in each else escape(kind) for kind, each in kinds.items())


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value, with links to the schemas that it names, and its bounds."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(each) for each in schema[several])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        text = f"list of {_type(schema.get('items', {}))}"
    else:
        text = escape(str(schema.get("const", schema.get("type", "any value"))))
    bounds = [words.format(f"{schema[key]:,}") for key, words in (BOUNDS | LENGTHS).items() if key in schema]
    return ", ".join([text, *map(escape, bounds)])


def _text(*parts: Mapping[str, Any]) -> str:
    """Return the first description, with the default."""
    found = next((each["description"] for each in parts if "description" in each), "")
    default = parts[-1].get("default")
    return found if default in (None, []) else f"{found} By default {default}."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells of HTML; nothing without rows."""
    if not rows:
        return ""
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr>{each}</tr>\n" for each in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"
