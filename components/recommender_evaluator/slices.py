"""The slices of the queries and of the catalogue."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.recommender_evaluator import slice_names
from core.errors import UsageError

NONE = "(none)"  # the slice of missing values
OTHER = "(other)"  # the slice of the rarer values of a column
MAX_VALUES = 20
HEAD_SHARE = 0.5


class Slice(NamedTuple):
    """A part of the queries, or of the items.

    Args:
      name: `column=value` of a feature of users or of items, or one of `user:warm`, `user:cold`, `item:warm`,
        `item:cold`, `item:head`, `item:tail`.
      mask: bool, [Q] for a slice of queries, [n_items] for a slice of items.
    """

    name: str
    mask: np.ndarray


def of_queries(features: pa.Table, has_history: np.ndarray) -> list[Slice]:
    """Return the slices of the queries: warm and cold users, then each value of each column.

    A missing value, or an empty string, is in the slice `(none)`. If a column has more than 20 values, the 19 with the
    most queries have a slice each, and all others share `(other)`, since metrics over a few queries are not reliable.
    The slices of a column are disjoint and cover all queries.

    Args:
      features: one row per query, in their order; strings, or numbers and booleans, which are converted to text.
      has_history: [Q] bool, whether the user had an event before the query, which makes the user warm.

    Raises:
      UsageError: a column holds lists.
      ValueError: the lengths differ.
    """
    if features.num_columns and len(features) != len(has_history):
        raise ValueError(f"features should have a row a query, {len(has_history)}; found {len(features)}")
    warm = np.asarray(has_history, dtype=bool)
    slices = [Slice(slice_names.USER_WARM, warm), Slice(slice_names.USER_COLD, ~warm)]
    for name in features.column_names:
        if pa.types.is_nested(features[name].type):
            raise UsageError(
                f"slice {name!r} should have one value a user; found {features[name].type}. "
                "Leave it out of `evaluation.slices`."
            )
        slices += _of_column(name, features[name], np.arange(len(features)), len(features))
    return slices


def of_values(features: pa.Table) -> list[Slice]:
    """Return a slice of items for each value of each column, under the rules of `of_queries`.

    Args:
      features: one row per item; a column may hold lists: an item with several values is in the slice of each value.
    """
    slices: list[Slice] = []
    for name in features.column_names:
        column, rows = features[name], np.arange(len(features))
        if pa.types.is_nested(column.type):
            lists = column.combine_chunks()
            lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            rows = np.r_[np.repeat(rows, lengths), rows[lengths == 0]]
            nothing = pa.nulls(int((lengths == 0).sum()), pa.string())
            column = pa.chunked_array([lists.flatten().cast(pa.string()), nothing])
        slices += _of_column(name, column, rows, len(features))
    return slices


def _of_column(name: str, column: pa.ChunkedArray, rows: np.ndarray, count: int) -> list[Slice]:
    """Return a slice for each value of a column.

    Args:
      name: the name of the column.
      column: [V] the values.
      rows: [V] the row of the query or item that each value belongs to.
      count: the number of queries or items.
    """
    text = pc.fill_null(column.cast(pa.string()), "")
    encoded = pc.if_else(pc.equal(text, ""), NONE, text).combine_chunks().dictionary_encode()
    values, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(codes, minlength=len(values))
    # By number of rows, then by name, so that the order of the rows does not matter.
    order = sorted(range(len(values)), key=lambda code: (-counts[code], values[code]))
    alone = order if len(order) <= MAX_VALUES else order[: MAX_VALUES - 1]
    groups = [(values[code], codes == code) for code in alone]
    if len(alone) < len(order):
        groups.append((OTHER, ~np.isin(codes, alone)))
    slices = []
    for value, chosen in groups:
        mask: np.ndarray = np.zeros(count, dtype=bool)
        mask[rows[chosen]] = True
        slices.append(Slice(slice_names.of_value(name, value), mask))
    return slices


def of_items(train_counts: np.ndarray) -> list[Slice]:
    """Return the slices of warm and cold items, and of head and tail items.

    Warm items have an event in train, cold items have none. The head is the smallest number of most popular items with
    at least half of all train events; of equally popular items, those first in the catalogue come first. The tail is
    all other items, including cold ones.

    Args:
      train_counts: [n_items] events of each item in train.

    Source of head and tail: Anderson, The Long Tail (2006); the cut at half is ours.
    """
    by_popularity = np.argsort(-train_counts, kind="stable")
    cumulative = np.cumsum(train_counts[by_popularity])
    head = np.zeros(len(train_counts), dtype=bool)
    if train_counts.any():
        head[by_popularity[: np.searchsorted(cumulative, HEAD_SHARE * cumulative[-1]) + 1]] = True
    warm = train_counts > 0
    return [Slice(name, mask) for name, mask in zip(slice_names.OF_ITEMS, (warm, ~warm, head, ~head), strict=True)]
