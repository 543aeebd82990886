"""Shares of event counts, and the features that events are counted by. NumPy only."""

from collections.abc import Mapping

import numpy as np

from core.errors import ModelError
from core.times import DAY
from transform.features import Feature


def recent(timestamps: np.ndarray, window_days: float | None) -> np.ndarray:
    """Return [E] bool, whether an event is within `window_days` before the latest one; all if `window_days` is None."""
    if window_days is None or not len(timestamps):
        return np.ones(len(timestamps), bool)
    return timestamps > timestamps.max() - window_days * DAY


def shares(counts: np.ndarray, tie_breaker: np.ndarray) -> np.ndarray:
    """Return shares of the largest count, with ties broken by another measure.

    Args:
      counts: [..., N] whole numbers.
      tie_breaker: [N] the measure that orders items of equal counts; it adds at most half an event.
    Returns:
      [..., N] float32 in [0, 1].
    """
    total = counts + 0.5 * tie_breaker / max(tie_breaker.max(initial=0), 1e-9)
    return (total / np.maximum(total.max(axis=-1, keepdims=True, initial=0), 1e-9)).astype(np.float32)


def segment_column(segment: str, features: Mapping[str, Feature]) -> str:
    """Return the transformed column with the index of each user's segment.

    Raises:
      ModelError: the segment is no feature of users with one category each.
    """
    feature = features.get(segment)
    indices = None if feature is None else feature.indices(segment)
    if indices is not None and not indices.several:
        return indices.column
    found = "which is no feature of users" if feature is None else f"which is a {feature.kind} feature"
    raise ModelError(
        "popularity's segment should be a categorical feature of users, or a numeric one with buckets; "
        f"found {segment!r}, {found}."
    )


def check_counted(item_feature: str, features: Mapping[str, Feature]) -> None:
    """Check that the values of a feature of items can be counted.

    Raises:
      ModelError: there is no such feature, or it is not categorical.
    """
    feature = features.get(item_feature)
    raw = None if feature is None else feature.raw
    if raw is None or not raw.one_category:
        found = "which is no feature of items" if feature is None else f"which is a {feature.kind} feature"
        raise ModelError(
            f"the item_feature of repeats should be a categorical feature of items; found {item_feature!r}, {found}."
        )
