"""The tables of a store in a database, beside those of `serving.stores.kept` and `serving.stores.generation`."""

import sqlalchemy as sa

metadata = sa.MetaData()
events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, unique=True, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("timestamp", sa.BigInteger, nullable=False),
    sa.Column("rating", sa.Float),
    sa.Index("events_of_user", "user_id", "timestamp", "number", "item_id"),
)
users = sa.Table(
    "users", metadata, sa.Column("user_id", sa.Text, primary_key=True), sa.Column("features", sa.Text, nullable=False)
)
items = sa.Table(
    "items",
    metadata,
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("state", sa.BigInteger, nullable=False, index=True),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("hidden", sa.Boolean, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("features", sa.Text),
    sa.Column("posted", sa.BigInteger),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False, index=True),
    sa.Column("timestamp", sa.BigInteger, nullable=False, index=True),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("items", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
states = sa.Table(  # one row: the number of the last change of an item
    "item_state", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("state", sa.BigInteger)
)
