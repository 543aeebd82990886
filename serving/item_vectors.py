"""Items as vectors of their features, to tell how alike two of them are."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from transform.features import Feature, Raw, raw_columns

_BETWEEN_WORDS = r"[^\pL\pM\pN]+"  # as the transform graph splits text


def item_vectors(catalogue: pa.Table, features: dict[str, Feature]) -> sparse.csr_array:
    """A sparse row an item, a block of columns a feature; each block has length 1, or 0 where the value is missing.

    So every feature weighs alike, and the cosine of two items that lack nothing is the mean over their features of

    - categorical: 1 for the same value, else 0;
    - multi-valued, and text as its set of words: |A ∩ B| / √(|A| |B|) of the two sets of values;
    - a given vector: the cosine of the two, which alone may be negative;
    - numeric: cos(π/2 · |u - v|), with u and v the places of the two numbers among those of the catalogue, from 0 for
      the lowest to 1 for the highest, ties sharing the mean of their places. Places and not the numbers themselves, so
      that a long tail does not make all other items alike.

    Args:
      catalogue: one row an item, with a column a feature.
      features: the items' features by column; columns beside them are not looked at.
    Returns: [n_items, F] float64.
    """
    blocks = [_block(catalogue[name].combine_chunks(), raw) for name, raw in raw_columns(features).items()]
    return sparse.csr_array(sparse.hstack([sparse.csr_array((len(catalogue), 0)), *blocks], format="csr"))


def _block(column: pa.Array, raw: Raw) -> sparse.csr_array:
    if raw.numbers and raw.values is not None:
        return _directions(column, raw.values)
    if raw.numbers:
        return _on_quarter_circle(_places(column.cast(pa.float64()).to_numpy(zero_copy_only=False)))
    if raw.values is None and not raw.words:
        rows, values = np.arange(len(column)), column
    else:
        lists = pc.split_pattern_regex(pc.utf8_lower(column), _BETWEEN_WORDS) if raw.words else column
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        rows, values = np.repeat(np.arange(len(column)), lengths), lists.flatten()
    given = pc.fill_null(pc.not_equal(values, ""), False).to_numpy(zero_copy_only=False)
    encoded = values.filter(pa.array(given)).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    block = sparse.csr_array((np.ones(len(codes)), (rows[given], codes)), shape=(len(column), len(encoded.dictionary)))
    block.sum_duplicates()
    # A value that stands twice in one list is one value.
    block.data = np.repeat(1 / np.sqrt(np.maximum(np.diff(block.indptr), 1)), np.diff(block.indptr))
    return block


def _directions(column: pa.ListArray, size: int) -> sparse.csr_array:
    """[N, size] the vectors divided by their lengths; zero for a missing one."""
    found = np.zeros((len(column), size))
    whole = pc.fill_null(pc.equal(pc.list_value_length(column), size), False)  # a missing one may be an empty list
    found[whole.to_numpy(zero_copy_only=False)] = column.filter(whole).flatten().to_numpy().reshape(-1, size)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return sparse.csr_array(np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0))


def _places(numbers: np.ndarray) -> np.ndarray:
    """[N] the place of each number among all, in [0, 1]; NaN stays. Of numbers that are all alike, one half."""
    given = ~np.isnan(numbers)
    _, value, counts = np.unique(numbers[given], return_inverse=True, return_counts=True)
    places = np.full(len(numbers), np.nan)
    middle = np.cumsum(counts) - counts + (counts - 1) / 2
    most = max(given.sum() - 1, 1)
    places[given] = middle[value] / most if len(counts) > 1 else 0.5
    return places


def _on_quarter_circle(places: np.ndarray) -> sparse.csr_array:
    """[N, 2] points whose inner product is the cosine of their distance in quarter turns; zero for NaN."""
    angle = np.pi / 2 * places
    return sparse.csr_array(np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1)))
