"""Answers made again from what was logged of them: the request, the user, the items and the arm as they were then."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from core.errors import UsageError
from serving.experiments.settings import Arm
from serving.recommender import Recommender
from serving.requests import Degraded, Listed, Recommendations, Request
from serving.stores.store import Answer, Inputs, Item, Store
from serving.users import User

TOLERANCE = 1e-5  # of the largest score of an answer: batches of another size change the last digits
DIGITS = 7  # the digits of a logged score, those of a 32-bit float
_REQUEST = TypeAdapter(Request)
NO_TIME = float("-inf")


class NotKeptError(UsageError):
    """An answer that is not in the store, or whose inputs are not."""


class ReplayedItem(BaseModel):
    """What is at a position of both lists."""

    then: str | None = Field(description="The item of the logged answer; null beyond its end.")
    then_score: float | None
    now: str | None = Field(description="The item of the answer that was made again; null beyond its end.")
    now_score: float | None
    equal: bool


class Replayed(BaseModel):
    """A logged answer beside the one that was made again."""

    request_id: str
    release: str = Field(description="The version of the release that made both.")
    user: str
    timestamp: int = Field(description="When the answer was made, in seconds since 1970-01-01 UTC.")
    arm: str | None
    degraded: Degraded | None = Field(description="How the answer was degraded, and the one that was made again.")
    equal: bool = Field(description="Whether both have the same items in the same order, with the same scores.")
    items: list[ReplayedItem]


class Logged:
    """A logged answer with its inputs.

    Args:
      answer: the answer.
      inputs: its inputs.
      items: the items of the store as they were known then.
    """

    def __init__(self, answer: Answer, inputs: Inputs, items: Mapping[str, Item]):
        self.answer, self._state, self._items = answer, inputs.state, items
        self._values: dict[str, Any] = json.loads(inputs.text)
        self.degraded: Degraded | None = answer.detail.get("degraded")

    def again(self, recommender: Recommender) -> Replayed:
        """Make the answer again with the recommender of its release, and return both."""
        settings = None
        if self._values["arm"] is not None:
            settings = Arm.model_validate(self._values["arm"]).applied(recommender.view().engine.settings)
        recommender = recommender.as_at(self._items, self._state, settings)
        request = _REQUEST.validate_python(self._values["request"])
        if self.degraded == "popular":
            found = recommender.without_models(request)
        else:
            if self.degraded == "retrieval_order":
                request = replace(request, until=NO_TIME)
            user = _user(self._values["user"], recommender.release_user(request.user_id))
            found = recommender.answer_as(request, user, self.degraded)
        if isinstance(found, Exception):
            raise found
        return self._compared(found.items)

    def _compared(self, found: Sequence[Listed]) -> Replayed:
        then = list(zip(self.answer.items, self._values["scores"], strict=True))
        now = [(each.item, each.score) for each in found]
        near = TOLERANCE * max([abs(score) for _, score in (*then, *now)], default=0.0)
        items = []
        for place in range(max(len(then), len(now))):
            item, score = then[place] if place < len(then) else (None, None)
            other, its_score = now[place] if place < len(now) else (None, None)
            same = item == other and score is not None and its_score is not None and abs(score - its_score) <= near
            items.append(ReplayedItem(then=item, then_score=score, now=other, now_score=its_score, equal=same))
        answer = self.answer
        return Replayed(
            request_id=answer.request_id, release=answer.release, user=answer.user_id, timestamp=answer.timestamp,
            arm=answer.detail.get("arm"), degraded=self.degraded, equal=all(each.equal for each in items), items=items,
        )  # fmt: skip


def read(store: Store, request_id: str) -> Logged:
    """Return a logged answer with its inputs. Raises: NotKeptError, StoreError."""
    answer, inputs = store.answer(request_id), store.inputs(request_id)
    if answer is None:
        raise NotKeptError(f"there is no answer {request_id!r} in the store. Give the request_id of a logged answer")
    if inputs is None or (inputs.timestamp, inputs.user_id) != (answer.timestamp, answer.user_id):
        raise NotKeptError(
            f"the inputs of the answer {request_id!r} are not kept, so it cannot be made again: it is older than "
            "`keep_replay_hours` of the server, or from a version of twostep without them"
        )
    return Logged(answer, inputs, store.items_at(inputs.state))


def inputs(answer: Answer, asked: Request, found: Recommendations, arm: Arm | None) -> Inputs:
    """Return the inputs of an answer.

    Args:
      answer: the answer.
      asked: the request.
      found: the answer with its scores, user and state of the items.
      arm: the arm that the user is in; None without an experiment.
    """
    values = {
        "request": _REQUEST.dump_python(asked, mode="json", exclude={"until"}, exclude_defaults=True),
        "user": None if found.user is None else _changes(found.user),
        "arm": arm.model_dump(mode="json", exclude_defaults=True) if arm and arm.changes_settings else None,
        "scores": [float(f"{each.score:.{DIGITS}g}") for each in found.items],
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return Inputs(answer.request_id, answer.user_id, answer.timestamp, found.state, text)


def _changes(user: User) -> dict[str, Any]:
    """Return what a user has that the user of the release has not: `features`, `history` with its times, and `seen`."""
    before = user.released or User()
    missing = object()
    features = {name: value for name, value in user.features.items() if before.features.get(name, missing) != value}
    seen = set(before.seen)
    changes: dict[str, Any] = {"features": features, "seen": [item for item in user.seen if item not in seen]}
    if [*user.history] != [*before.history] or [*user.history_time] != [*before.history_time]:
        changes["history"] = [list(user.history), list(user.history_time)]
    return {name: value for name, value in changes.items() if value}


def _user(changes: Mapping[str, Any] | None, before: User | None) -> User | None:
    """Return the user of the release with its changes; None for one who was not known."""
    if changes is None:
        return None
    released = before or User()
    history, times = changes.get("history", (released.history, released.history_time))
    seen = list(dict.fromkeys([*released.seen, *changes.get("seen", ())]))
    return User({**released.features, **changes.get("features", {})}, history, times, seen, before)
