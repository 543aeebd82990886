"""What every request passes: a token, the limit of its size, an id, and metrics."""

import hmac
import re
import time
import uuid
from typing import Any

from serving.server import problems
from serving.server.metrics import Metrics

OPEN = ("/", "/healthz", "/readyz")  # paths that need no token, as the files of the page
ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Guard:
    """An ASGI middleware.

    Args:
      app: the application.
      token: the token that requests carry as `Authorization: Bearer …`; None for none.
      max_body: the maximum size of a body, in bytes.
      metrics: where requests are counted.
    """

    def __init__(self, app: Any, token: str | None, max_body: int, metrics: Metrics):
        self._app, self._token, self._max_body, self._metrics = app, token, max_body, metrics

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
            if not self._allows(scope["path"], headers):
                problem = problems.answer(401, "No valid token", "Send the header Authorization: Bearer TOKEN.")
                problem.headers["WWW-Authenticate"] = "Bearer"
                await problem(scope, receive, with_id)
                return
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._max_body:
                await self._too_large(scope, receive, with_id)
                return
            body, complete = await _body(receive, self._max_body)
            if not complete:
                await self._too_large(scope, receive, with_id)
                return
            await self._app(scope, _replayed(body, receive), with_id)
        finally:
            route = scope.get("route")
            self._metrics.request(getattr(route, "path", "other"), status, time.perf_counter() - began)

    def _allows(self, path: str, headers: dict[bytes, bytes]) -> bool:
        """Return whether a request carries the token, or needs none."""
        if self._token is None or path in OPEN or path.startswith("/page/"):
            return True
        found = headers.get(b"authorization", b"")
        return hmac.compare_digest(found, f"Bearer {self._token}".encode())

    async def _too_large(self, scope: Any, receive: Any, send: Any) -> None:
        detail = f"A request may have {self._max_body:,} bytes. Send less at once."
        await problems.answer(413, "The request is too large", detail)(scope, receive, send)


async def _body(receive: Any, most: int) -> tuple[bytes, bool]:
    """Return the body of a request, and whether it is complete and not larger than `most` bytes."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"", True
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return b"", False
        if not message.get("more_body"):
            return b"".join(parts), True


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
