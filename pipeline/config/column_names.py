"""The checks of `data.<table>.columns`, which maps the names of columns to their names in the file."""

import difflib
from collections.abc import Mapping

from core import names
from pipeline.config.data import Data
from transform.features import Feature, Features, raw_columns


def check(data: Data, features: Features, split_column: str | None) -> None:
    """Check `columns` of every table against the columns of the table.

    Raises:
      ValueError: a key of `columns` is not a column of the table, or two columns come from the same column of the
        file. The latter is allowed for features, title and owner, but not for an id, timestamp, rating or split.
    """
    for table in data.tables:
        renamed = getattr(data, table).columns
        read = _read_columns(table, data, features, split_column)
        known = list(dict.fromkeys([*read, *([names.RATING] if table == names.INTERACTIONS else [])]))
        for column in renamed:
            if column not in known:
                raise ValueError(f"data.{table}.columns.{column}: {_hint(column, known, table, renamed)}")
        sources: dict[str, str] = {}
        shared = set(_features(table, features)) | {data.title, data.owner}
        for column in read:
            source = renamed.get(column, column)
            if source in sources and not {column, sources[source]} <= shared:
                raise ValueError(
                    f"data.{table}.columns: `{sources[source]}` and `{column}` should come from different columns of "
                    f"the file; both are {source!r}"
                )
            sources.setdefault(source, column)


def _read_columns(table: str, data: Data, features: Features, split_column: str | None) -> list[str]:
    """Return the canonical names of the columns of a table."""
    more = {
        names.ITEMS: [data.title, data.owner],
        names.INTERACTIONS: [split_column, names.RATING if data.interactions.has_ratings else None],
    }.get(table, [])
    every = [
        *names.KEYS[table],
        *raw_columns(_features(table, features)),
        *(column for column in more if column is not None),
    ]
    return list(dict.fromkeys(every))


def _features(table: str, features: Features) -> Mapping[str, Feature]:
    """Return column → feature for a table; empty for the interactions and impressions."""
    return {names.USERS: features.user, names.ITEMS: features.item}.get(table, {})


def _hint(column: str, known: list[str], table: str, renamed: Mapping[str, str]) -> str:
    message = f"is not a column of the table {table}; its columns are {', '.join(known)}."
    if renamed[column] in known and renamed[column] not in renamed:
        return f"{message} The canonical name is the key: `{renamed[column]}: {column}`"
    close = difflib.get_close_matches(column, known, n=1)
    return f"{message} Did you mean `{close[0]}`?" if close else f"{message} Declare it in `features`, or remove it"
