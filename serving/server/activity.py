"""What a server answered in the last hour, by minute."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field

from serving.requests import Degraded

MINUTES = 60
STEP = math.log(1.05)  # times are counted in classes, each 5 % longer than the one before
SHORTEST_MS = 0.1
CLASSES = 300  # up to some 200 s
NUMBER, ANSWERS, ARMS_FROM = 0, 1, 2  # columns of a minute; then the arms, the reasons and the classes of times
SUFFIX = ".counts"
NO_ARM = "all users"


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
    """The numbers of answers and times of the last hour, of this process or of all workers of a server.

    They are counted in an array with a row for each minute, which several workers keep in files that all of them map. A
    process writes to its own alone, in the thread of the event loop.

    Args:
      arms: the labels of the arms of an experiment.
      folder: the folder of the workers' files; None for a single process.
    """

    def __init__(self, arms: Sequence[str] = (), folder: Path | None = None):
        self._arms, self._reasons, self._folder = (NO_ARM, *arms), get_args(Degraded), folder
        self._times = ARMS_FROM + len(self._arms) + len(self._reasons)
        self._shape = (MINUTES, self._times + CLASSES)
        self._own: np.ndarray = np.zeros(self._shape, np.int64)
        if folder is not None:
            self._own = np.memmap(folder / f"activity-{os.getpid()}{SUFFIX}", np.int64, "w+", shape=self._shape)

    def answered(self, arm: str | None, degraded: Degraded | None) -> None:
        """Count an answer of `recommend`, its batch or `rank`."""
        minute = self._now()
        minute[ANSWERS] += 1
        minute[ARMS_FROM + self._arms.index(arm or NO_ARM)] += 1
        if degraded is not None:
            minute[ARMS_FROM + len(self._arms) + self._reasons.index(degraded)] += 1

    def took(self, seconds: float) -> None:
        """Count the time of a request for recommendations."""
        kind = math.ceil(math.log(max(seconds * 1000, SHORTEST_MS) / SHORTEST_MS) / STEP)
        self._now()[self._times + min(kind, CLASSES - 1)] += 1

    def summary(self) -> ActivityAnswer:
        """Return the numbers of the last hour."""
        last = _number()
        numbers = np.arange(last - MINUTES + 1, last + 1)
        minutes = np.zeros(self._shape, np.int64)
        for ring in self._rings():
            rows = ring[numbers % MINUTES]
            minutes += np.where(rows[:, :1] == numbers[:, np.newaxis], rows, 0)
        total = minutes.sum(axis=0)
        arms = dict(zip(self._arms, total[ARMS_FROM:].tolist(), strict=False))
        by_reason = slice(self._times - len(self._reasons), self._times)
        reasons = dict(zip(self._reasons, total[by_reason].tolist(), strict=True))
        return ActivityAnswer(
            answers=int(total[ANSWERS]),
            arms={arm: count for arm, count in arms.items() if count},
            degraded={reason: count for reason, count in reasons.items() if count},
            p50_ms=_quantile(total[self._times :], 0.5),
            p99_ms=_quantile(total[self._times :], 0.99),
            minutes=[
                MinuteAnswer(
                    minute=number * 60, answers=int(minute[ANSWERS]), degraded=int(minute[by_reason].sum()),
                    p50_ms=_quantile(minute[self._times :], 0.5), p99_ms=_quantile(minute[self._times :], 0.99),
                )
                for number, minute in zip(numbers.tolist(), minutes, strict=True)
            ],
        )  # fmt: skip

    def _rings(self) -> Iterator[np.ndarray]:
        """Yield the numbers of this process, or of all workers, those that ended among them."""
        if self._folder is None:
            yield self._own
            return
        size = self._own.nbytes
        for file in sorted(self._folder.glob(f"activity-*{SUFFIX}")):
            if file.stat().st_size == size:  # not one that another worker is making at this moment
                yield np.memmap(file, np.int64, "r", shape=self._shape)

    def _now(self) -> np.ndarray:
        """Return the numbers of the present minute."""
        number = _number()
        minute = self._own[number % MINUTES]
        if minute[NUMBER] != number:
            minute[:] = 0
            minute[NUMBER] = number
        return minute


def add(app: FastAPI, activity: Activity) -> None:
    """Add the route that says what the server answered."""

    @app.get("/v1/activity")
    async def last_hour() -> ActivityAnswer:  # not in another thread, which would read numbers that change
        """Return what the server answered in the last hour, by minute."""
        return activity.summary()


def _number() -> int:
    return int(time.time()) // 60


def _quantile(times: np.ndarray, share: float) -> float | None:
    """Return the upper bound of the class with a quantile, in milliseconds; None without times.

    Args:
      times: [CLASSES] the number of times in each class.
      share: the quantile.
    """
    total = int(times.sum())
    if not total:
        return None
    kind = int(np.searchsorted(np.cumsum(times), math.ceil(share * total)))
    return round(SHORTEST_MS * math.exp(kind * STEP), 2)
