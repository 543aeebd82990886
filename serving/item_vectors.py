"""Feature vectors of items; the cosine of two vectors is the similarity of the items."""

import pyarrow as pa
from scipy import sparse

from transform.features import Feature, raw_columns


def item_vectors(catalogue: pa.Table, features: dict[str, Feature]) -> sparse.csr_array:
    """Return a sparse row per item with a block of columns per feature, of length 1, or 0 for a missing value.

    All features have the same weight: the cosine of two items without missing values is the mean over the features of

    - categorical: 1 for the same value, else 0;
    - multi-valued, and text as its set of words: |A ∩ B| / √(|A| |B|) of the two sets of values;
    - a given vector: the cosine of the two, which may be negative;
    - numeric: cos(π/2 · |u - v|), with u and v the ranks of the two numbers in the catalogue, scaled to [0, 1]; ties
      have the mean rank. Ranks are used, so that a few extreme values do not make all other items similar.

    Args:
      catalogue: one row per item, with a column per feature.
      features: the features of items by column; other columns are ignored.
    Returns: [n_items, F] float64.
    """
    blocks = [raw.similarity_vectors(catalogue[name].combine_chunks()) for name, raw in raw_columns(features).items()]
    return sparse.csr_array(sparse.hstack([sparse.csr_array((len(catalogue), 0)), *blocks], format="csr"))
