"""What a kind of store has to do: one request each, with errors of `core.storage.errors` and without repetition."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """An object in a store.

    Args:
      key: its key, relative to the place.
      size: its size in bytes.
      modified: the time of its last change, in UTC by the clock of the store.
      tag: its e-tag or generation, which changes with its content.
    """

    key: str
    size: int
    modified: datetime
    tag: str


class Driver(Protocol):
    """Requests to a kind of store. Keys are complete, from the root of the bucket or of the folder."""

    def get(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object and its tag. Raises: ObjectMissingError."""

    def put(self, key: str, data: bytes, replaces: str | None) -> str:
        """Write an object whose tag is `replaces`, or which does not exist for None; return its new tag.

        Raises:
          ConflictError: the condition does not hold.
        """

    def send(self, source: Path, key: str) -> None:
        """Write an object from a file, in parts if it is large; an existing object is replaced."""

    def fetch(self, key: str, target: Path, tag: str | None) -> None:
        """Write the content of an object to a new file, streaming.

        Raises:
          ObjectMissingError, ObjectChangedError: there is none, or its tag is not `tag`.
        """

    def stat(self, key: str) -> Stored:
        """Return the facts about an object. Raises: ObjectMissingError."""

    def entries(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects below a prefix, a whole number of names of a path; empty for all."""

    def delete(self, key: str) -> None:
        """Delete an object; do nothing if there is none."""
