"""Sources of tables that fail in ways that no server causes: the process is killed, or an error is not expected."""

import os
import signal
from typing import ClassVar

from pipeline.sources.reading import Reading
from pipeline.sources.settings import SourceSettings


class Odd(SourceSettings):
    """A source that kills the process that reads it, or raises an error of another library."""

    MODULE: ClassVar[str] = "odd_sources"

    killed: bool

    @property
    def uri(self) -> str:
        """Return its name."""
        return "odd://source"


def start(source: Odd) -> Reading:
    """Fail."""
    if source.killed:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ZeroDivisionError("of a library")
