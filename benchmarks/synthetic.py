"""Synthetic tables of any size for benchmarks: interactions, users and items, with features that carry information.

    python benchmarks/synthetic.py FOLDER [--events N] [--users U] [--items I]

A user has two of `GROUPS` tastes, an item belongs to one group, and popularity within a group has a long tail. Four of
five events are drawn from the user's groups. Ages and occupations depend on the first taste, categories on the group.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

GROUPS = 24
OCCUPATIONS, CATEGORIES = 20, 18
DEVICES = ("phone", "tablet", "television", "web")
START, DAYS = 978_300_000, 1_000  # 31 December 2000, and the days until the last event
SEED = 42


def tables(n_events: int, n_users: int, n_items: int, seed: int = SEED) -> dict[str, pa.Table]:
    """Return the tables `interactions` (sorted by timestamp), `users` and `items`."""
    random = np.random.default_rng(seed)
    tastes = random.integers(0, GROUPS, [n_users, 2])
    group = np.arange(n_items) % GROUPS
    popularity = 1.0 / (5 + random.permutation(n_items)) ** 0.9
    users = np.sort((n_users * random.random(n_events) ** 1.7).astype(np.int64))
    own = random.random(n_events) < 0.8
    wanted = np.where(own, tastes[users, random.integers(0, 2, n_events)], random.integers(0, GROUPS, n_events))
    items = _drawn(wanted, group, popularity, random)
    first = random.random(n_users) ** 0.5 * DAYS * 0.8
    elapsed = first[users] + (DAYS - first[users]) * random.random(n_events) ** 2
    timestamps = START + (elapsed * 86_400).astype(np.int64)
    quality = random.normal(3.4, 0.5, n_items)
    ratings = np.clip(np.rint(quality[items] + 0.4 * own + random.normal(0, 0.9, n_events)), 1, 5).astype(np.int64)
    devices = (timestamps // 3_600 + random.integers(0, 2, n_events)) % len(DEVICES)
    order = np.argsort(timestamps, kind="stable")
    interactions = {
        "user_id": _ids("u", n_users).take(pa.array(users[order])),
        "item_id": _ids("i", n_items).take(pa.array(items[order])),
        "rating": pa.array(ratings[order]),
        "timestamp": pa.array(timestamps[order]),
        "device": pa.array(DEVICES).take(pa.array(devices[order])),
    }
    people = {
        "user_id": _ids("u", n_users),
        "age": pa.array(np.clip(18 + 2 * tastes[:, 0] + random.integers(0, 12, n_users), 18, 75)),
        "gender": pa.array(["F", "M"]).take(pa.array(random.integers(0, 2, n_users))),
        "occupation": _ids("job ", OCCUPATIONS).take(
            pa.array((tastes[:, 0] + random.integers(0, 4, n_users)) % OCCUPATIONS)
        ),
    }
    things = {
        "item_id": _ids("i", n_items),
        "category": _ids("category ", CATEGORIES).take(pa.array(group % CATEGORIES)),
        "price": pa.array(np.round(np.exp(random.normal(2.5, 0.8, n_items) + 0.05 * group), 2)),
    }
    return {"interactions": pa.table(interactions), "users": pa.table(people), "items": pa.table(things)}


def joined(all_tables: dict[str, pa.Table]) -> pa.Table:
    """Return one row for each event with the features of its user and item, in the order of the events."""
    result = all_tables["interactions"]
    for name, key in (("users", "user_id"), ("items", "item_id")):
        rows = pc.index_in(result[key], all_tables[name][key])
        other = all_tables[name].drop_columns([key]).take(rows)
        for column in other.column_names:
            result = result.append_column(column, other[column])
    return result


def write(file: Path, table: pa.Table) -> None:
    """Write a table as a CSV file without quotes, which CsvExampleGen would take as part of the names of columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as out:
        out.write(f"{','.join(table.column_names)}\n".encode())
        csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="needed"))


def sizes(n_events: int) -> tuple[int, int]:
    """Return the default numbers of users and items: MovieLens-1M's users per event, and its items."""
    return max(50, round(n_events * 5_975 / 1_000_209)), 3_706


def _drawn(wanted: np.ndarray, group: np.ndarray, popularity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an item of each wanted group, drawn by popularity."""
    result = np.empty(len(wanted), np.int64)
    for one in range(GROUPS):
        members, events = np.flatnonzero(group == one), np.flatnonzero(wanted == one)
        cumulative = np.cumsum(popularity[members])
        result[events] = members[np.searchsorted(cumulative, random.random(len(events)) * cumulative[-1])]
    return result


def _ids(prefix: str, count: int) -> pa.Array:
    """Return the strings prefix + number, from 1 to `count`."""
    return pa.array([f"{prefix}{number}" for number in range(1, count + 1)])


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=1_000_209, help="the number of events (default: 1,000,209)")
    parser.add_argument("--users", type=int, help="the number of users (default: 5,975 for each 1,000,209 events)")
    parser.add_argument("--items", type=int, help="the number of items (default: 3,706)")
    given = parser.parse_args()
    users, items = sizes(given.events)
    for name, table in tables(given.events, given.users or users, given.items or items).items():
        write(given.folder / f"{name}.csv", table)


if __name__ == "__main__":
    main()
