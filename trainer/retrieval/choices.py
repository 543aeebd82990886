"""The choices that a fit makes by validation, and that a fit in another thread follows. No TensorFlow here."""

import threading
from concurrent.futures import Future
from typing import Any

from core.settings import Settings


class Choices:
    """The settings that a fit has chosen, once it has ended, and those of its members.

    Args:
      ahead: whether the fit that follows may train before the choices are known.
    """

    def __init__(self, ahead: bool):
        self.ahead = ahead
        self._chosen: Future[Settings] = Future()
        self._members: dict[str, Choices] = {}
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def member(self, label: str) -> "Choices":
        """Return the choices of a member."""
        with self._lock:
            if label not in self._members:
                self._members[label] = Choices(self.ahead)
                if self._error is not None:
                    self._members[label].fail(self._error)
            return self._members[label]

    def publish(self, settings: Settings) -> None:
        """Make the settings known that the fit has chosen."""
        self._chosen.set_result(settings)

    def fail(self, error: BaseException) -> None:
        """Make known that the fit failed, so that nobody waits for its choices or those of its members."""
        with self._lock:
            self._error = error
            members = list(self._members.values())
        for member in members:
            member.fail(error)
        if not self._chosen.done():
            self._chosen.set_exception(error)

    def known(self) -> bool:
        """Return whether the fit has ended."""
        return self._chosen.done()

    def settings(self) -> Any:
        """Wait for the end of the fit, and return the settings that it chose. Raises: the error of the fit."""
        return self._chosen.result()
