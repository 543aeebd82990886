"""What every request passes: a token, the limits of its rate, size and time, an id, and metrics."""

import asyncio
import hmac
import re
import time
import uuid
from typing import Any

from fastapi.responses import JSONResponse

from serving.server import callers, problems
from serving.server.callers import Callers
from serving.server.metrics import Metrics
from serving.server.settings import ServerSettings

OPEN = ("/", "/healthz", "/readyz")  # paths that need no token, as the files of the page
UNLIMITED = ("/healthz", "/readyz", "/metrics")  # paths that may be asked for at any rate
ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Guard:
    """An ASGI middleware.

    Args:
      app: the application.
      settings: the settings of the server.
      metrics: where requests are counted.
    """

    def __init__(self, app: Any, settings: ServerSettings, metrics: Metrics):
        self._app, self._settings, self._metrics = app, settings, metrics
        self._callers = Callers(settings.rate, settings.burst)
        self._in_progress = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(ID_HEADER, b"")
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 499  # for a caller that hangs up

        async def with_id(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (ID_HEADER, request_id.encode())]
            await send(message)

        try:
            refused = self._refused(scope, headers)
            if refused is not None:
                await refused(scope, receive, with_id)
                return
            try:
                async with asyncio.timeout(self._settings.read_s):
                    body = await _body(receive, self._settings.max_body)
            except TimeoutError:
                slow = problems.too_slow(self._settings.read_s)
                slow.headers["Connection"] = "close"
                await slow(scope, receive, with_id)
                return
            if body is None:
                return
            if len(body) > self._settings.max_body:
                await self._too_large()(scope, receive, with_id)
                return
            if self._in_progress >= self._settings.max_requests:
                await problems.answer(503, "Busy", problems.BUSY)(scope, receive, with_id)
                return
            self._in_progress += 1
            try:
                await self._app(scope, _replayed(body, receive), with_id)
            finally:
                self._in_progress -= 1
        finally:
            route = scope.get("route")
            self._metrics.request(getattr(route, "path", "other"), status, time.perf_counter() - began)

    def _refused(self, scope: Any, headers: dict[bytes, bytes]) -> JSONResponse | None:
        """Return why a request is refused before its body is read; None for one that is not."""
        path, has_token = scope["path"], self._has_token(headers)
        if path not in UNLIMITED:
            # One without a valid token counts for its address, so that tokens cannot be tried at any rate.
            host = (scope.get("client") or ("unknown",))[0]
            wait_s = self._callers.wait_s("token" if has_token else callers.of_address(host))
            if wait_s:
                detail = f"A caller may send {self._settings.rate:g} requests per second. Try again later."
                return problems.answer(429, "Too many requests", detail, retry_s=wait_s)
        if not (has_token or self._settings.token is None or path in OPEN or path.startswith("/page/")):
            problem = problems.answer(401, "No valid token", "Send the header Authorization: Bearer TOKEN.")
            problem.headers["WWW-Authenticate"] = "Bearer"
            return problem
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._settings.max_body:
            return self._too_large()
        return None

    def _has_token(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether the server has a token, and a request carries it."""
        expected = f"Bearer {self._settings.token}".encode()
        return self._settings.token is not None and hmac.compare_digest(headers.get(b"authorization", b""), expected)

    def _too_large(self) -> JSONResponse:
        detail = f"A request may have {self._settings.max_body:,} bytes. Send less at once."
        return problems.answer(413, "The request is too large", detail)


async def _body(receive: Any, most: int) -> bytes | None:
    """Return the body of a request, the beginning of one with more than `most` bytes; None if the caller hung up."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most or not message.get("more_body"):
            return b"".join(parts)


def _replayed(body: bytes, receive: Any) -> Any:
    """Return a function that receives a body, and then what follows it."""
    sent = False

    async def again() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
