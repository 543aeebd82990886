"""The channel of a worker to the process that started it."""

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from serving.server.supervisor import FAILED, ITEMS, READY


class Channel:
    """What a worker tells and is told. If the process that started it is gone, the worker ends in order.

    Args:
      connection: the connection to that process.
    """

    def __init__(self, connection: Connection):
        self._connection, self._lock = connection, threading.Lock()
        self.on_items: Callable[[], None] = lambda: None  # called when another worker has changed items
        threading.Thread(target=self._follow, daemon=True).start()

    def ready(self, version: str) -> None:
        """Tell that requests are answered."""
        self._send(READY, version)

    def failed(self, message: str, code: int) -> None:
        """Tell an error after which the worker ends, with the exit code of the command."""
        self._send(FAILED, (message, code))

    def items(self) -> None:
        """Tell that items were changed."""
        self._send(ITEMS, None)

    def _send(self, kind: str, value: Any) -> None:
        with self._lock:
            self._connection.send((kind, value))

    def _follow(self) -> None:
        while True:
            try:
                self._connection.recv()
            except (EOFError, OSError):
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self.on_items()
