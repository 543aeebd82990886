"""The tables from which an answer is made again: its inputs, and the versions of items. Functions of a connection."""

import json
from typing import Any

import sqlalchemy as sa

from serving.stores.store import Inputs, Item

tables = sa.MetaData()
inputs = sa.Table(
    "answer_inputs",
    tables,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False, index=True),
    sa.Column("timestamp", sa.BigInteger, nullable=False, index=True),
    sa.Column("state", sa.BigInteger, nullable=False, index=True),
    sa.Column("text", sa.Text, nullable=False),
)
versions = sa.Table(  # a row for each change of an item
    "item_versions",
    tables,
    sa.Column("state", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("item", sa.Text),  # what is known of the item; NULL for a deleted one
    sa.Column("changed", sa.BigInteger, nullable=False),  # a timestamp
    sa.Index("versions_of_item", "item_id", "state"),
)
_NOTHING = Item()


def version(state: int, item_id: str, item: Item | None, now: int) -> dict[str, Any]:
    """Return the row of a version of an item; None for a deleted one."""
    return {"state": state, "item_id": item_id, "item": None if item is None else _text(item), "changed": now}


def inputs_of(connection: sa.Connection, request_id: str) -> Inputs | None:
    """Return the inputs of an answer."""
    row = connection.execute(sa.select(inputs).where(inputs.c.request_id == request_id)).one_or_none()
    return None if row is None else Inputs(*row)


def items_at(connection: sa.Connection, state: int) -> dict[str, Item]:
    """Return the items as they were known at a state."""
    c = versions.c
    latest = sa.select(sa.func.max(c.state)).where(c.state <= state).group_by(c.item_id)
    rows = connection.execute(sa.select(c.item_id, c.item).where(c.state.in_(latest), c.item.is_not(None)))
    return {row.item_id: Item(**json.loads(row.item)) for row in rows}


def delete_inputs(connection: sa.Connection, before: int, most: int) -> int:
    """Delete the oldest inputs of those before a timestamp, `most` of them at most, and return their number."""
    c = inputs.c
    oldest = sa.select(c.request_id).where(c.timestamp < before).order_by(c.timestamp).limit(most)
    return connection.execute(sa.delete(inputs).where(c.request_id.in_(oldest))).rowcount


def trim(connection: sa.Connection, before: int) -> int:
    """Delete the versions that were replaced before a timestamp and that no kept input needs, and return their number.

    Later ones stay, since an answer that was just made may not have been logged yet.
    """
    c = versions.c
    newest_old = connection.scalar(sa.select(sa.func.max(c.state)).where(c.changed < before))
    if newest_old is None:
        return 0
    needed = connection.scalar(sa.select(sa.func.min(inputs.c.state)))
    oldest = newest_old if needed is None else min(needed, newest_old)
    later = versions.alias()
    replaced = sa.exists().where(later.c.item_id == c.item_id, later.c.state > c.state, later.c.state <= oldest)
    number = connection.execute(sa.delete(versions).where(c.state < oldest, replaced)).rowcount
    return number + connection.execute(sa.delete(versions).where(c.state <= oldest, c.item.is_(None))).rowcount


def _text(item: Item) -> str:
    """Return what is known of an item as JSON, without what is as for an item of which nothing is known."""
    changed = {name: value for name, value in vars(item).items() if value != getattr(_NOTHING, name)}
    return json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
