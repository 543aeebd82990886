"""Errors as problem details: RFC 9457."""

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core.errors import UsageError
from serving.batcher import BusyError
from serving.server.messages import Problem
from serving.stores.store import StoreError

log = logging.getLogger("twostep.serve")
MEDIA_TYPE = "application/problem+json"
BUSY = "Too many queries wait. Try again in a second."


# The answers that every route can give, for the OpenAPI description.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in {
        400: "The body cannot be read",
        401: "The request carries no valid token",
        408: "The request did not arrive in time",
        413: "The request is too large",
        422: "The request is not valid; `errors` names the fields",
        429: "The caller sends too many requests; `Retry-After` says when to send the next",
        500: "An error of the server",
        503: "The store does not answer, or too many requests wait; `Retry-After` says when to try again",
    }.items()
}
CONFLICT: dict[int | str, dict[str, Any]] = {409: RESPONSES[400] | {"description": "The server can take no more items"}}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: RESPONSES[400] | {"description": "There is no such user or item"}}


def answer(
    status: int, title: str, detail: str, errors: list[dict] | None = None, retry_s: float | None = None
) -> JSONResponse:
    """Return a problem as a response; `retry_s` is when to try again, for 503 after a second."""
    body = Problem(title=title, status=status, detail=detail, errors=errors or []).model_dump()
    retry_s = 1 if retry_s is None and status == 503 else retry_s
    headers = {} if retry_s is None else {"Retry-After": str(math.ceil(retry_s))}
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def too_slow(seconds: float) -> JSONResponse:
    """Return the problem of a request that does not arrive within some seconds."""
    return answer(408, "The request is too slow", f"A request should arrive within {seconds:g} s. Send it again.")


def describe(app: FastAPI) -> None:
    """Add the schema of a problem to the OpenAPI description of an application."""
    made = app.openapi

    def with_problem() -> dict[str, Any]:
        described = made()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        described.setdefault("components", {}).setdefault("schemas", {})["Problem"] = schema
        return described

    app.openapi = with_problem  # type: ignore[method-assign]


def add_handlers(app: FastAPI) -> None:
    """Let all errors of an application be answered as problems."""
    describe(app)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"field": ".".join(str(part) for part in each["loc"]), "detail": each["msg"]} for each in error.errors()
        ]
        first = f"{errors[0]['field']}: {errors[0]['detail']}" if errors else "the request is not valid"
        return answer(422, "The request is not valid", first, errors)

    @app.exception_handler(UsageError)
    def _wrong(_: Request, error: UsageError) -> JSONResponse:
        return answer(422, "The request is not valid", str(error))

    @app.exception_handler(HTTPException)
    def _refused(_: Request, error: HTTPException) -> JSONResponse:
        response = answer(error.status_code, _TITLES.get(error.status_code, "Error"), str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(StoreError)
    def _store(_: Request, error: StoreError) -> JSONResponse:
        log.error("%s", error)
        return answer(503, "The store cannot be used", "The store of users and events does not answer. Try again.")

    @app.exception_handler(BusyError)
    def _busy(_: Request, error: BusyError) -> JSONResponse:
        return answer(503, "Busy", BUSY)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(500, "Error of the server", "An unexpected error; the log of the server has it.")


_TITLES = {401: "No valid token", 404: "Not found", 405: "Method not allowed", 413: "The request is too large"}
