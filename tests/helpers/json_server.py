"""A local HTTP server for tests: routes by method and path, bearer tokens, and failures that a test plans."""

import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """A request: its method, path, query (the first value of each name), body, and the parts that the route matched."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    parts: tuple[str, ...] = ()


class RefusedError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Failure:
    """A planned failure: the next `times` requests whose `METHOD path` matches are answered with a status."""

    pattern: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class JsonServer:
    """A server of JSON on loopback, used as a context manager.

    Attributes:
      requests: the answered requests, as `METHOD path`.
      tokens: the bearer tokens that are valid; None for no check.
      failures: the planned failures.
      certificate: the file of the key and the certificate (PEM) of a server that speaks TLS; None for HTTP.
    """

    ROUTES: tuple[tuple[str, str, str], ...] = ()  # method, pattern of the path, name of the method that answers

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.tokens: set[str] | None = None
        self.failures: list[Failure] = []
        self.certificate: Path | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Any:
        """Start the server and return it."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if self.certificate else ''}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the body of an error."""
        return {"error": message, "code": status, "message": message}

    def _answer(self, request: Request, authorization: str) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            self.requests.append(f"{request.method} {request.path}")
            for failure in self.failures:
                if failure.times and re.search(failure.pattern, self.requests[-1]):
                    failure.times -= 1
                    return failure.status, self.error(failure.status, "planned by the test"), failure.headers
            if self.tokens is not None and authorization.removeprefix("Bearer ") not in self.tokens:
                return 401, self.error(401, "the token is missing, wrong or expired"), {}
            for method, pattern, name in self.ROUTES:
                matched = re.fullmatch(pattern, request.path)
                if matched and method == request.method:
                    parts = Request(request.method, request.path, request.query, request.body, matched.groups())
                    try:
                        return 200, getattr(self, name)(parts), {}
                    except RefusedError as refused:
                        return refused.status, self.error(refused.status, refused.message), {}
            return 404, self.error(404, f"no route {request.method} {request.path}"), {}


def _handler(answer: Callable[[Request, str], tuple[int, Any, dict[str, str]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _do(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, parts.path, query, body)
            status, content, headers = answer(request, self.headers.get("Authorization", ""))
            payload = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(content, bytes) else "application/json")
            self.send_header("Content-Length", str(len(payload)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = do_PATCH = _do  # noqa: N815 - the names of http.server

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler
