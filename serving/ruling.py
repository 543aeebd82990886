"""The rules of requests as rows of the catalogue. NumPy and Arrow only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from core.errors import UsageError
from serving.arrangement import Limit
from serving.catalogue import NO_ITEM, Catalogue
from serving.column_values import ColumnValues
from serving.filters import Filters
from serving.requests import Request
from serving.rules import Mark

COLUMNS = 64  # the number of columns whose values are kept in memory for caps


@dataclass(frozen=True)
class Ruling:
    """The rules of a request, as rows of the catalogue.

    Args:
      pins: position, from 1 → row; items that may not be shown are left out.
      promotions: the share of each, and [N] whether an item fulfils it.
      caps: the caps of the request.
    """

    pins: Mapping[int, int]
    promotions: Sequence[tuple[float, np.ndarray]]
    caps: Sequence[Limit]

    def __bool__(self) -> bool:
        return bool(self.pins or self.promotions or self.caps)

    @property
    def pinned(self) -> list[int]:
        """Return the rows of the pins."""
        return list(self.pins.values())

    def mark(self, row: int) -> Mark | None:
        """Return the rule that an item of the list fulfils."""
        if row in self.pins.values():
            return "pinned"
        return "promoted" if any(allowed[row] for _, allowed in self.promotions) else None


@dataclass(frozen=True)
class Allowed:
    """What a request may be answered with.

    Args:
      mask: [N] whether the models may return an item; pins are not among them. None for all.
      ruling: the rules.
    """

    mask: np.ndarray | None
    ruling: Ruling


class Rulings:
    """The rules of requests over a catalogue.

    Args:
      table: the catalogue, one row per item.
      filters: the conditions on its items.
    """

    def __init__(self, table: pa.Table, filters: Filters):
        self._table, self._filters = table, filters
        self.values = lru_cache(COLUMNS)(lambda column: ColumnValues(table[column].combine_chunks()))

    def of(self, catalogue: Catalogue, request: Request, hidden: np.ndarray) -> Ruling:
        """Return the rules of a request; those with given items have none. Raises: UsageError.

        Args:
          catalogue: the items.
          request: the request.
          hidden: the rows of the items that are hidden or have expired.
        """
        if request.only is not None or not (request.pinned or request.promotions or request.caps):
            return Ruling({}, (), ())
        return Ruling(pins(catalogue, request, hidden), self._promoted(request), self._caps(request))

    def _promoted(self, request: Request) -> list[tuple[float, np.ndarray]]:
        """Return the share of each promotion, and [N] whether an item fulfils it. Raises: UsageError."""
        found = []
        for number, each in enumerate(request.promotions):
            try:
                found.append((each.share, self._filters.allowed(each.filters)))
            except UsageError as error:
                raise UsageError(f"promotions.{number}.{error}") from None
        return found

    def _caps(self, request: Request) -> list[Limit]:
        """Return the caps of a request. Raises: UsageError for a column that the items lack."""
        for number, each in enumerate(request.caps):
            if each.column not in self._table.column_names:
                known = ", ".join(self._table.column_names)
                raise UsageError(f"caps.{number}.column: the items have no column {each.column!r}; they have {known}")
        return [Limit(self.values(each.column), each.at_most) for each in request.caps]


def pins(catalogue: Catalogue, request: Request, hidden: np.ndarray) -> dict[int, int]:
    """Return position → row of the pins of a request whose items are in the catalogue, not hidden and not excluded."""
    left_out = {NO_ITEM, *hidden.tolist(), *catalogue.rows(request.exclude).tolist()}
    found: dict[int, int] = {}
    floating: list[int] = []
    for each in request.pinned:
        row = catalogue.row(each.item)
        if row in left_out:
            continue
        left_out.add(row)  # an item that is pinned twice stands at its first position
        if each.position is None or each.position in found:
            floating.append(row)
        else:
            found[each.position] = row
    position = 1
    for row in floating:
        while position in found:
            position += 1
        found[position] = row
    return found
