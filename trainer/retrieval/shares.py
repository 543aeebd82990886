"""Popularity as numbers, and whose it is. NumPy only."""

from collections.abc import Mapping

import numpy as np

from core.errors import ModelError
from transform.features import Feature

DAY = 86_400


def recent(timestamps: np.ndarray, window_days: float | None) -> np.ndarray:
    """[E] bool, the events less than `window_days` before the last one; all where it is None."""
    if window_days is None or not len(timestamps):
        return np.ones(len(timestamps), bool)
    return timestamps > timestamps.max() - window_days * DAY


def shares(counts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Shares of the largest count, with ties decided by another measure.

    Args:
      counts: [..., N] whole numbers.
      otherwise: [N] what orders items of the same count: the most that it adds is half an event.
    Returns:
      [..., N] float32 in [0, 1].
    """
    total = counts + 0.5 * otherwise / max(otherwise.max(initial=0), 1e-9)
    return (total / np.maximum(total.max(axis=-1, keepdims=True, initial=0), 1e-9)).astype(np.float32)


def segment_column(segment: str, features: Mapping[str, Feature]) -> str:
    """The transformed column that says which segment a user is in.

    Raises:
      ModelError: the segment is no feature of users, or one whose values are no segments.
    """
    feature = features.get(segment)
    found = None if feature is None else feature.indices(segment)
    if found is not None and not found.several:
        return found.column
    raise ModelError(
        "popularity's segment should be a categorical feature of users, or a numeric one with buckets; "
        f"found {segment!r}, which is {'none of users' if feature is None else f'a {feature.kind} one'}."
    )


def check_counted(of: str, features: Mapping[str, Feature]) -> None:
    """Whether the values of a feature of items can be counted as items are.

    Raises:
      ModelError: there is no such feature, or it has not one string an item.
    """
    raw = features[of].raw if of in features else None
    if raw is None or raw.numbers or raw.words or raw.values is not None:
        found = f"which is a {features[of].kind} one" if of in features else "which is none of items"
        raise ModelError(f"what repeats counts should be a categorical feature of items; found {of!r}, {found}.")
