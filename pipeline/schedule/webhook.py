"""The report of a run to an address, in a thread of its own, so that a slow address delays no run."""

import json
import logging
import os
import threading
import urllib.error
import urllib.request
from typing import Any

from core.errors import UsageError
from pipeline.schedule.settings import Webhook


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect, which could lead to another host, with the secret."""

    def redirect_request(self, *arguments: Any) -> None:
        """Return None: the redirect is an error."""


class Reporter:
    """Reports JSON objects to an address.

    Args:
      webhook: the address; None to report nothing.

    Raises:
      UsageError: the environment variable of the secret is not set.
    """

    def __init__(self, webhook: Webhook | None):
        self._webhook, self._threads = webhook, list[threading.Thread]()
        self._headers = {"Content-Type": "application/json", "User-Agent": "twostep"}
        if webhook is None or webhook.secret_variable is None:
            return
        secret = os.environ.get(webhook.secret_variable, "")
        if not secret or not secret.isprintable() or not secret.isascii():
            raise UsageError(
                f"schedule.webhook.secret_variable: the environment variable {webhook.secret_variable} should have the "
                f"value of a header, of printable ASCII characters; it {'has others' if secret else 'is not set'}"
            )
        self._headers["Authorization"] = secret

    def report(self, content: dict[str, Any]) -> None:
        """Send an object in a thread. An error is logged."""
        if self._webhook is None:
            return
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._send, args=(self._webhook, content), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait until everything is sent, and at most as long as the address may take."""
        for thread in self._threads:
            thread.join(self._webhook.timeout_seconds if self._webhook is not None else 0)

    def _send(self, webhook: Webhook, content: dict[str, Any]) -> None:
        request = urllib.request.Request(webhook.url, json.dumps(content).encode(), self._headers, method="POST")
        handlers: list[Any] = [_NoRedirect]
        if webhook.url.startswith("http://"):  # loopback, which no proxy reaches
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=webhook.timeout_seconds):
                pass
        except urllib.error.HTTPError as error:
            logging.warning("webhook: the address answered %d %s", error.code, error.reason)
        except OSError as error:
            logging.warning("webhook: the address could not be reached: %s", error)
