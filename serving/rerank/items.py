"""The item data that re-ranking rules use. Each array is computed at its first use and shared by all rules."""

import functools
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy import sparse

from core import names
from serving.item_vectors import item_vectors
from transform.features import Feature


class Items:
    """N items of a catalogue.

    Args:
      catalogue: one row per item: its features and, for the rules that need it, its event count.
      features: the features of items by column.
    """

    def __init__(self, catalogue: pa.Table, features: Mapping[str, Feature]):
        self._catalogue, self._features = catalogue, dict(features)
        self._vectors: dict[str, sparse.csr_array] = {}

    @functools.cached_property
    def unit_vectors(self) -> sparse.csr_array:
        """Return [N, F] the feature vectors, scaled to length 1, so that an inner product is a cosine; or zero rows."""
        vectors = item_vectors(self._catalogue, self._features)
        length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
        return sparse.csr_array(sparse.diags_array(1 / np.where(length > 0, length, 1.0)) @ vectors)

    @functools.cached_property
    def rows(self) -> Mapping[str, int]:
        """Return item id → catalogue row."""
        return {item_id: row for row, item_id in enumerate(self._catalogue[names.ITEM_ID].to_pylist())}

    @functools.cached_property
    def event_counts(self) -> np.ndarray:
        """Return [N] the number of events of each item before test."""
        return self._catalogue[names.EVENT_COUNT].to_numpy()

    def numbers(self, column: str) -> np.ndarray:
        """Return [N] float64, a numeric column; NaN for a missing value."""
        return self._catalogue[column].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)

    def indicators(self, column: str) -> sparse.csr_array:
        """Return [N, V] 1 for each value that an item has in a categorical or multi-valued column."""
        return self._of_column(column).sign()

    def shares(self, column: str) -> sparse.csr_array:
        """Return [N, V] the share of each value in a column of an item: 1/n for each value of an item with n values."""
        # A row of `item_vectors` over one column has length 1, so the squares of its entries sum to 1.
        return self._of_column(column).power(2)

    def _of_column(self, column: str) -> sparse.csr_array:
        """Return [N, V] the item vectors over one column."""
        if column not in self._vectors:
            self._vectors[column] = item_vectors(self._catalogue, {column: self._features[column]})
        return self._vectors[column]
