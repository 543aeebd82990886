"""What a recommender knows of items at one moment: those of the release, those that were posted, and hidden ones."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from core import names
from serving.arranger import Arranger
from serving.catalogue import NO_ITEM, Catalogue
from serving.column_values import ColumnValues
from serving.current_values import with_values
from serving.engine import TwoStep
from serving.filters import Filters
from serving.hidden import Hidden
from serving.lists import Lists
from serving.popular import Popular
from serving.ruling import Rulings
from serving.settings import ServingSettings
from serving.stores.store import Item
from serving.users import fits

log = logging.getLogger("twostep.serve")
MOST_POSTED = 50_000  # each query scores all posted items
REPLACED = 1000  # how many more rows of replaced features than posted items there may be

Engines = Mapping[str | None, TwoStep]  # arm, None for the settings of the release → its engine


@dataclass(frozen=True)
class KnownItems:
    """The items of a recommender. A change makes another object, so a query sees one state.

    Args:
      released: the engines over the items of the release.
      engines: the engines over these and the posted items, whose rows follow.
      read_at: when the items of the release were read, in seconds since 1970-01-01 UTC.
      posted: the features of the posted items by id.
      changed: row of an item of the release → its values that were posted later, which the models do not read.
      store: what the store says of items: hidden or expiring ones, and posted ones.
      hidden: the rows of items that are not recommended.
      table: the items with their present values.
      titles: the titles of the items; None if the catalogue has none.
      owners: the users to whom items belong; None if they belong to nobody.
    """

    released: Engines
    engines: Engines
    read_at: int
    posted: Mapping[str, Mapping[str, Any]]
    changed: Mapping[int, Mapping[str, Any]]
    store: Mapping[str, Item]
    hidden: Hidden
    table: pa.Table
    titles: Sequence[str | None] | None
    filters: Filters
    popular: Popular
    lists: Lists
    rulings: Rulings
    arranger: Arranger
    owners: ColumnValues | None

    @property
    def catalogue(self) -> Catalogue:
        """Return the items of the release, followed by the posted ones."""
        return self.engines[None].catalogue

    @property
    def full(self) -> bool:
        """Return whether no further item can be posted."""
        return len(self.posted) >= MOST_POSTED

    def item(self, item_id: str) -> dict[str, Any] | None:
        """Return what is known of an item; None for an item that is neither in the release nor posted."""
        row = self.catalogue.row(item_id)
        if row == NO_ITEM:
            return None
        [values] = self.table.slice(row, 1).to_pylist()
        del values[names.ITEM_ID]
        known, posted = self.hidden.items.get(row, Item()), item_id in self.posted
        return {
            "item": item_id, "features": values, "posted": posted, "hidden": known.hidden, "expires": known.expires,
        }  # fmt: skip

    def hidden_ids(self, now: int) -> list[str]:
        """Return the ids of the items that are hidden, or have expired at a time."""
        rows = self.hidden.rows(now)
        ids = self.catalogue.ids[rows]
        return ids[self.catalogue.rows(ids) == rows].tolist()  # without former rows of posted items

    def most_popular(self, k: int, now: int) -> list[dict[str, Any]]:
        """Return id, title and number of events of the items with the most events before the release."""
        rows, events = self.popular.best(k, self.hidden.rows(now))
        return [
            {"item": self.catalogue.ids[row], "title": self.titles[row] if self.titles else None, "events": number}
            for row, number in zip(rows, events, strict=True)
        ]

    def titles_of(self, item_ids: Sequence[str]) -> list[str | None]:
        """Return the titles of items; None for an unknown one, or without titles."""
        rows = self.catalogue.rows(item_ids)
        return [self.titles[row] if self.titles and row != NO_ITEM else None for row in rows.tolist()]

    def columns(self) -> dict[str, pa.DataType]:
        """Return the columns of items, which a caller may post, with their types."""
        schema = self.table.schema
        return {each.name: each.type for each in schema if each.name not in (names.ITEM_ID, names.EVENT_COUNT)}

    def kinds(self) -> dict[str, str]:
        """Return column of the items → `number` or `text`, the kinds of values that filters compare it with."""
        found = {}
        for each in self.table.schema:
            kind = each.type.value_type if pa.types.is_list(each.type) else each.type
            found[each.name] = "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"
        return found

    @classmethod
    def of_release(cls, engines: Engines, read_at: int = 0) -> "KnownItems":
        """Return the items of a release, of which the store says nothing; `read_at` as for the class."""
        return cls._of(engines, engines, read_at, {}, {}, {}, Hidden({}))

    @classmethod
    def _of(
        cls,
        released: Engines,
        engines: Engines,
        read_at: int,
        posted: Mapping[str, Mapping[str, Any]],
        changed: Mapping[int, Mapping[str, Any]],
        store: Mapping[str, Item],
        hidden: Hidden,
    ) -> "KnownItems":
        """Return the items with what follows from them."""
        catalogue, settings = engines[None].catalogue, engines[None].settings
        table = with_values(catalogue.table, changed)
        titles = table[settings.title].to_pylist() if settings.title else None
        filters, popular = Filters(table), Popular(table[names.EVENT_COUNT].to_numpy())
        lists, rulings = Lists(catalogue.ids, titles), Rulings(table, filters)
        owners = ColumnValues(table[settings.owner].combine_chunks()) if settings.owner else None
        more = filters, popular, lists, rulings, Arranger(rulings), owners
        return cls(released, engines, read_at, posted, changed, store, hidden, table, titles, *more)

    def with_settings(self, settings: ServingSettings) -> "KnownItems":
        """Return the items with other settings of the release."""
        return replace(self, engines={**self.engines, None: self.engines[None].with_settings(settings)})

    def with_store(self, items: Mapping[str, Item | None], state: int) -> "KnownItems":
        """Return the items as they are when the store says something else of them.

        Args:
          items: all that the store says, by item; None for nothing.
          state: the state of the store's items.
        """
        catalogue = self.released[None].catalogue
        known: dict[str, Item] = {}
        posted: dict[str, Mapping[str, Any]] = {}
        changed: dict[int, Mapping[str, Any]] = {}
        for each, item in items.items():
            if item is None:
                continue
            row = catalogue.row(each)
            if item.features is not None and row == NO_ITEM:
                posted[each] = item.features
            if item.features and row != NO_ITEM and item.posted >= self.read_at:
                changed[row] = item.features
            if item.features is not None or item.hidden or item.expires is not None:
                known[each] = item
        if len(posted) > MOST_POSTED:
            log.warning("%d items are posted; %d of them are served. Make a release of them", len(posted), MOST_POSTED)
            posted = {each: posted[each] for each in sorted(posted)[:MOST_POSTED]}
        return self._with_posted(posted, changed)._with_hidden(known, state)

    def _with_posted(
        self, posted: Mapping[str, Mapping[str, Any]], changed: Mapping[int, Mapping[str, Any]]
    ) -> "KnownItems":
        """Return the items with these posted ones, and these changed values, alone."""
        before, engines = self.posted, self.engines
        added = len(engines[None].catalogue) - len(self.released[None].catalogue)
        if before.keys() - posted or added > 2 * len(posted) + REPLACED:  # begin anew, without forgotten rows
            before, engines = {}, self.released
        new = sorted(each for each, features in posted.items() if before.get(each) != features)
        if not new and engines is self.engines and changed == self.changed:
            return self
        if new:
            table = _table(engines[None].catalogue.table.schema, {each: posted[each] for each in new})
            extended = engines[None].with_items(table)
            engines = {
                arm: extended if arm is None else extended.with_settings(engine.settings)
                for arm, engine in engines.items()
            }
        return self._of(self.released, engines, self.read_at, posted, changed, self.store, self.hidden)

    def _with_hidden(self, known: Mapping[str, Item], state: int) -> "KnownItems":
        """Return the items of which the store says this."""
        catalogue = self.engines[None].catalogue
        rows = {catalogue.row(each): item for each, item in known.items() if catalogue.row(each) >= 0}
        first = len(self.released[None].catalogue)
        replaced = set(range(first, len(catalogue))) - {catalogue.row(each) for each in self.posted}
        hidden = Hidden(rows | dict.fromkeys(replaced, Item(hidden=True)), state)
        return replace(self, store=known, hidden=hidden)


def _table(schema: pa.Schema, posted: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Return items as rows of a catalogue; a value that does not fit its column is missing, as an unknown one is."""
    columns = {}
    for field in schema:
        values = [features.get(field.name) for features in posted.values()]
        if field.name == names.ITEM_ID:
            values = list(posted)
        elif field.name == names.EVENT_COUNT:
            values = [0] * len(posted)
        columns[field.name] = pa.array([each if fits(each, field.type) else None for each in values], field.type)
    return pa.table(columns, schema)
