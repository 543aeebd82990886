"""What all lists together show of the catalogue, to whom, and how alike the lists are."""

import numpy as np

from core.metrics.lists import PADDING


def catalogue_coverage(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Share of the catalogue that is in at least one query's first k.

    In [0, 1]; with Q queries it cannot pass Q·k / n_items. NaN for an empty catalogue.
    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and
    serendipity (RecSys 2010).
    """
    return float((_exposure(ranked, n_items, k) > 0).mean()) if n_items else float("nan")


def gini(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Gini coefficient of how often each item of the catalogue stands in a first k: 0 all alike, near 1 a few take all.

    G = Σ_i (2i - n - 1) x_i / (n Σ_i x_i), x ascending, i from 1, n the whole catalogue, items never shown included.
    NaN where nothing was shown.
    Source: Fleder and Hosanagar, Blockbuster culture's next rise or fall (Management Science 2009).
    """
    exposure = np.sort(_exposure(ranked, n_items, k))
    if not exposure.any():
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ exposure / (n_items * exposure.sum()))


def _exposure(ranked: np.ndarray, n_items: int, k: int) -> np.ndarray:
    top = ranked[:, :k]
    return np.bincount(top[top != PADDING], minlength=n_items)


def user_coverage(ranked: np.ndarray, k: int) -> np.ndarray:
    """1 where the list holds k items, else 0; the mean is the share of users who can be served a full list of k.

    It looks at what was recommended, not at whether it was right: that share is `hit_rate`. A list shorter than k, or
    with missing positions before, is not full. [Q], for queries without a relevant item too.
    Source: user space coverage of Gunawardana and Shani, Evaluating recommender systems (Recommender Systems Handbook,
    2015).
    """
    return ((ranked[:, :k] != PADDING).sum(axis=1) == k).astype(np.float64)
