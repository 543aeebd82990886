"""Connections: how many there may be, and how long one may take to send a request."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.server import problems

SPARE = 256  # open files that are kept for releases, the store and others


def protocol(most: int, read_s: float) -> type[asyncio.Protocol]:
    """Return the protocol of uvicorn with limits.

    Args:
      most: the maximum number of connections; further ones are closed at once.
      read_s: how long the head of a request, or what is left of one that was answered, may take to arrive.
    """
    return type("Connection", (_Connection,), {"most": most, "read_s": read_s})


def allowed(wanted: int) -> int:
    """Let this process open as many files as it may, and return how many of `wanted` connections it can have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - SPARE))


class _Connection(H11Protocol):
    """A connection. An idle one is closed after uvicorn's `timeout_keep_alive`, also before its first request."""

    most: int
    read_s: float
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= self.most:
            transport.abort()
            self.transport = transport
            return
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._stop_reading()
        if self in self.connections:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answered = self.cycle is not None and self.cycle.response_complete
        if self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY):
            if self._reading is None:  # later bytes do not lengthen the time
                self._reading = self.loop.call_later(self.read_s, self._too_slow)
        else:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _too_slow(self) -> None:
        """Close the connection; with an answer if the head of a request is incomplete."""
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE:
            problem = problems.too_slow(self.read_s)
            headers = [*problem.raw_headers, (b"connection", b"close")]
            head = h11.Response(status_code=problem.status_code, headers=headers)
            for event in (head, h11.Data(data=bytes(problem.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
