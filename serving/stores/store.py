"""The interface of a store. No database here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from core.errors import TwostepError


class StoreError(TwostepError):
    """A store that cannot be reached, or refuses to write. The same request may succeed later."""


@dataclass(frozen=True)
class Event:
    """An event of a user and an item.

    Args:
      id: the id that the sender gave; a second event with the same id is the same event.
      user_id, item_id: the ids of both.
      timestamp: seconds since 1970-01-01 UTC.
      rating: the rating; None without one.
    """

    id: str
    user_id: str
    item_id: str
    timestamp: int
    rating: float | None = None


@dataclass(frozen=True)
class Item:
    """What a store knows of an item.

    Args:
      hidden: whether the item is never recommended.
      expires: the timestamp from which it is not recommended any more; None for never.
      features: its values by column of the items table; None if unknown.
      posted: when the features were posted, in seconds since 1970-01-01 UTC; 0 if unknown.
    """

    hidden: bool = False
    expires: int | None = None
    features: Mapping[str, Any] | None = None
    posted: int = 0


@dataclass(frozen=True)
class Known:
    """What a store knows of a user.

    Args:
      events: the latest events, oldest first.
      features: the features; None if none were put.
      seen: the items of all events, each once, if there are more than the latest ones and they were asked for.
    """

    events: list[Event] = field(default_factory=list)
    features: Mapping[str, Any] | None = None
    seen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """An answer that was given, with the items that were shown.

    Args:
      request_id: the id of the request.
      user_id: the user.
      timestamp: seconds since 1970-01-01 UTC.
      release: the version of the release.
      items: the ids of the items, best first.
      detail: the request and what the answer depended on, as a JSON object.
    """

    request_id: str
    user_id: str
    timestamp: int
    release: str
    items: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What an answer was made from, so that it can be made again.

    Args:
      request_id, user_id, timestamp: those of the answer.
      state: the state of the items, as `Store.items` returns it.
      text: the request, the user and what else counted, as a JSON object; see `serving.replay`.
    """

    request_id: str
    user_id: str
    timestamp: int
    state: int
    text: str


class Store(Protocol):
    """A store; each operation is durable when it returns, and raises StoreError where it failed.

    Attributes:
      away: whether the last read failed, and nothing has succeeded since.
    """

    away: bool

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Add events, and return for each whether it is new; one whose id is known changes nothing."""

    def histories(self, user_ids: Sequence[str], length: int) -> dict[str, list[Event]]:
        """Return the latest `length` events of each user that has any, oldest first."""

    def seen(self, user_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the items of all events of each user that has any, each once."""

    def put_user(self, user_id: str, features: Mapping[str, Any]) -> None:
        """Replace the features of a user."""

    def users(self, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the features of those of the users that were put."""

    def known(self, user_ids: Sequence[str], length: int, with_seen: bool) -> dict[str, Known]:
        """Return what a query needs to know of each user, who may be unknown, in one call.

        Args:
          user_ids: the users.
          length: the maximum number of the latest events, at least 1.
          with_seen: whether all seen items of a user with that many events are returned.
        """

    def erase_user(self, user_id: str) -> int:
        """Delete the features, events and answers of a user, with the inputs of these, and return their number."""

    def put_item(self, item_id: str, item: Item) -> None:
        """Replace what is known of an item."""

    def delete_item(self, item_id: str) -> bool:
        """Forget what is known of an item, and return whether there was anything."""

    def items(self, since: int = 0) -> tuple[dict[str, Item | None], int]:
        """Return the items that changed after a state, None for a deleted one; and the present state."""

    def items_at(self, state: int) -> dict[str, Item]:
        """Return the items as they were known at a state that kept inputs have."""

    def add_answers(self, answers: Sequence[Answer], inputs: Sequence[Inputs] = ()) -> None:
        """Add answers, and the inputs of those that are to be made again."""

    def inputs(self, request_id: str) -> Inputs | None:
        """Return the inputs of an answer; None if they are not kept."""

    def answer(self, request_id: str) -> Answer | None:
        """Return the answer to a request."""

    def answer_parts(self, since: int = 0) -> Iterator[pa.Table]:
        """Yield all answers from a timestamp on, oldest first, in tables of bounded length.

        Their schema is `serving.stores.logged.ANSWERS`.
        """

    def event_parts(self) -> Iterator[pa.Table]:
        """Yield all events, in the order in which they were added, in tables as `serving.stores.logged.EVENTS`."""

    def delete_answers(self, before: int, most: int) -> int:
        """Delete the oldest answers of those before a timestamp, `most` of them at most, and return their number."""

    def delete_inputs(self, before: int, most: int) -> int:
        """Delete the oldest inputs of those before a timestamp, `most` of them at most, and return their number."""

    def trim_items(self, before: int) -> int:
        """Delete what items were before a timestamp, unless kept inputs need it, and return the number of versions."""

    def close(self) -> None:
        """Close all connections."""
