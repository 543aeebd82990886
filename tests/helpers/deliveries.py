"""Small dated tables for tests of schedules: users of two tastes, whose events follow each other from span to span."""

from pathlib import Path

import numpy as np
import yaml

USERS, ITEMS, EVENTS = 80, 40, 12  # the numbers of users, of items, and of events of a user in a span
DAY_S = 86_400
START = 1_700_000_000

CONFIG = {
    "name": "week",
    "run_folder": "runs",
    "data": {
        "root": "data",
        "users": None,
        "interactions": {"path": "events-{SPAN:3}.csv", "on_duplicate": "keep"},
        "items": {"path": "items.csv"},
        "exclude_seen": False,
    },
    "features": {"item": {"kind": "categorical"}},
    "split": {"method": "temporal", "eval": 0.2, "test": 0.2},
    "retrieval": {"model": "item_knn", "candidates": 20},
    "ranking": {"model": "logistic", "params": {"epochs": 2}},
    "evaluation": {"at": [5], "resamples": 100, "rules": [{"metric": "ndcg@5", "at_least": 0.3}]},
    "schedule": {"new_span": True, "poll_seconds": 1, "retries": {"attempts": 2, "first_wait_seconds": 0}},
}


def make(folder: Path, **schedule: object) -> Path:
    """Write the items and the configuration, with other settings of the schedule; return the configuration file."""
    (folder / "data").mkdir(parents=True)
    rows = "".join(f"i{item},{'ab'[item % 2]}\n" for item in range(ITEMS))
    (folder / "data" / "items.csv").write_text(f"item_id,kind\n{rows}")
    return write_config(folder, schedule={**CONFIG["schedule"], **schedule})


def write_config(folder: Path, **changes: object) -> Path:
    """Write the configuration with other sections; return its file."""
    file = folder / "week.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return file


def events(span: int, times: int = 1, noise: float = 0.05) -> str:
    """Return the events of a span as CSV.

    Args:
      span: the number of the span, from 1; its events are of that day.
      times: how often each event is repeated, a second later each time.
      noise: the share of events with a random item; the other items are of the user's taste, the first ones most often.
    """
    random = np.random.default_rng(span)
    lines = ["user_id,item_id,timestamp"]
    for user in range(USERS):
        seconds = np.sort(random.integers(0, DAY_S - 100, EVENTS))
        for second in seconds:
            taste = 2 * min(int(random.exponential(3)), ITEMS // 2 - 1) + user % 2
            item = int(random.integers(ITEMS)) if random.random() < noise else taste
            start = START + span * DAY_S + int(second)
            lines += [f"u{user},i{item},{start + again}" for again in range(times)]
    return "\n".join(lines) + "\n"


def deliver(folder: Path, span: int, content: str | None = None) -> Path:
    """Write the events of a span, by default those of `events`, to a hidden file, and then rename it."""
    file = folder / "data" / f"events-{span:03}.csv"
    partial = file.with_name(f".{file.name}")
    partial.write_text(events(span) if content is None else content)
    return partial.rename(file)
