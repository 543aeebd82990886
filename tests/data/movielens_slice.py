"""A slice of MovieLens-100K for end-to-end tests, with one planted item that occurs only in each user's last event."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import names

# An item that every user is shown at the time of each event, and that has no events.
SHOWN = "planted-shown"
# The item of every user's last event and of no other event. In earlier data it would be a leak from the future.
FUTURE = "planted-future"
LATER_S = 1000
YEAR_S = 31_556_952


def cut(dataset: Path, target: Path, users: int = 150) -> None:
    """Write tables of the users whose number of events is closest to the median, with their events and items.

    The impressions have three items at the time of each event: the item of the event, a random item and `SHOWN`. One
    more impression is of an item that is in no table.

    Args:
      dataset: the folder of the canonical tables.
      target: the folder to write the tables to.
      users: the number of users.
    """
    events, people, items = (pq.read_table(dataset / f"{table}.parquet") for table in names.TABLES)
    counts = events[names.USER_ID].combine_chunks().value_counts()
    by_count = np.argsort(counts.field("counts").to_numpy(), kind="stable")
    middle = (len(by_count) - users) // 2
    chosen = counts.field("values").take(pa.array(by_count[middle : middle + users]))
    events = events.filter(pc.is_in(events[names.USER_ID], chosen))
    people = people.filter(pc.is_in(people[names.USER_ID], chosen))
    items = items.filter(pc.is_in(items[names.ITEM_ID], events[names.ITEM_ID].combine_chunks().unique()))
    events = pa.concat_tables([events, _last_events(events)])
    planted = pa.Table.from_pylist(
        [
            {names.ITEM_ID: FUTURE, "title": "What Nobody Knew", "year": 1998, "genres": ["Drama"]},
            {names.ITEM_ID: SHOWN, "title": "What Nobody Chose", "year": 1998, "genres": ["Drama"]},
        ],
        items.schema,
    )
    target.mkdir(parents=True)
    pq.write_table(events, target / f"{names.INTERACTIONS}.parquet")
    pq.write_table(people, target / f"{names.USERS}.parquet")
    pq.write_table(_dated(pa.concat_tables([items, planted])), target / f"{names.ITEMS}.parquet")
    pq.write_table(_impressions(events, items[names.ITEM_ID]), target / f"{names.IMPRESSIONS}.parquet")


def _dated(items: pa.Table) -> pa.Table:
    """Return the items with a column `released`, the timestamp of the beginning of the year; null if it is unknown."""
    return items.append_column("released", pc.multiply(pc.subtract(items["year"], 1970), YEAR_S))


def _impressions(events: pa.Table, items: pa.ChunkedArray) -> pa.Table:
    events = events.select([names.USER_ID, names.ITEM_ID, names.TIMESTAMP])
    place = events.schema.get_field_index(names.ITEM_ID)
    drawn = items.take(pa.array(np.random.default_rng(1).integers(0, len(items), len(events))))
    shown = [drawn, pa.array([SHOWN] * len(events)), pa.array(["unheard of"])]
    others = [events.slice(0, len(each)).set_column(place, names.ITEM_ID, each) for each in shown]
    return pa.concat_tables([events, *others]).cast(events.schema)


def _last_events(events: pa.Table) -> pa.Table:
    last = events.group_by(names.USER_ID).aggregate([(names.TIMESTAMP, "max")])
    columns = {
        names.USER_ID: last[names.USER_ID],
        names.ITEM_ID: pa.array([FUTURE] * last.num_rows),
        names.RATING: pa.array([5.0] * last.num_rows),
        names.TIMESTAMP: pc.add(last[f"{names.TIMESTAMP}_max"], LATER_S),
    }
    return pa.table({name: columns[name] for name in events.column_names}).cast(events.schema)
