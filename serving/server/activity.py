"""What a process answered in the last hour, by minute."""

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastapi import FastAPI
from pydantic import BaseModel, Field

MINUTES = 60
STEP = math.log(1.05)  # times are counted in classes, each 5 % longer than the one before
SHORTEST_MS = 0.1
NO_ARM = "all users"


@dataclass
class _Minute:
    number: int = -1
    answers: int = 0
    arms: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)


class MinuteAnswer(BaseModel):
    """The answers of a minute."""

    minute: int = Field(description="Its beginning, in seconds since 1970-01-01 UTC.")
    answers: int
    degraded: int
    p50_ms: float | None = Field(description="The median time of `recommend`; null without a request.")
    p99_ms: float | None


class ActivityAnswer(BaseModel):
    """The answers of the last hour."""

    answers: int
    arms: dict[str, int] = Field(description="Arm → number of answers; `all users` without an experiment.")
    degraded: dict[str, int] = Field(description="Reason → number of degraded answers.")
    p50_ms: float | None = Field(description="The median time of `recommend`; null without a request.")
    p99_ms: float | None
    minutes: list[MinuteAnswer] = Field(description="The minutes, the oldest first; the last one is not over.")


class Activity:
    """The numbers of answers and times of the last hour. It is used by the thread of the event loop alone."""

    def __init__(self) -> None:
        self._ring = [_Minute() for _ in range(MINUTES)]

    def answered(self, arm: str | None, degraded: str | None) -> None:
        """Count an answer of `recommend`, its batch or `rank`."""
        minute = self._now()
        minute.answers += 1
        minute.arms[arm or NO_ARM] += 1
        if degraded is not None:
            minute.degraded[degraded] += 1

    def took(self, seconds: float) -> None:
        """Count the time of a request for recommendations."""
        self._now().times[max(0, math.ceil(math.log(max(seconds * 1000, SHORTEST_MS) / SHORTEST_MS) / STEP))] += 1

    def summary(self) -> ActivityAnswer:
        """Return the numbers of the last hour."""
        last = _number()
        by_number = {each.number: each for each in self._ring}
        minutes = [by_number.get(number, _Minute(number)) for number in range(last - MINUTES + 1, last + 1)]
        times = _sum(each.times for each in minutes)
        return ActivityAnswer(
            answers=sum(each.answers for each in minutes),
            arms=_sum(each.arms for each in minutes),
            degraded=_sum(each.degraded for each in minutes),
            p50_ms=_quantile(times, 0.5),
            p99_ms=_quantile(times, 0.99),
            minutes=[
                MinuteAnswer(
                    minute=each.number * 60, answers=each.answers, degraded=each.degraded.total(),
                    p50_ms=_quantile(each.times, 0.5), p99_ms=_quantile(each.times, 0.99),
                )
                for each in minutes
            ],
        )  # fmt: skip

    def _now(self) -> _Minute:
        """Return the present minute."""
        number = _number()
        if self._ring[number % MINUTES].number != number:
            self._ring[number % MINUTES] = _Minute(number)
        return self._ring[number % MINUTES]


def add(app: FastAPI, activity: Activity) -> None:
    """Add the route that says what this process answered."""

    @app.get("/v1/activity")
    async def last_hour() -> ActivityAnswer:  # not in another thread, which would read numbers that change
        """Return what this process answered in the last hour, by minute."""
        return activity.summary()


def _number() -> int:
    return int(time.time()) // 60


def _sum(counters: Iterable[Counter]) -> Counter:
    total: Counter = Counter()
    for each in counters:
        total.update(each)
    return total


def _quantile(times: Counter[int], share: float) -> float | None:
    """Return the upper bound of the class with a quantile, in milliseconds; None without times."""
    rank = math.ceil(share * times.total())
    for kind in sorted(times):
        rank -= times[kind]
        if rank <= 0:
            return round(SHORTEST_MS * math.exp(kind * STEP), 2)
    return None
