"""Coverage of the catalogue and of users by lists, and concentration on few items."""

import numpy as np

from core.metrics.lists import PADDING


def catalogue_coverage(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Return the share of the catalogue that is in the first k of at least one query.

    In [0, 1], and at most Q·k / n_items with Q queries. NaN for an empty catalogue.
    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and
    serendipity (RecSys 2010).
    """
    return float((_counts(ranked, n_items, k) > 0).mean()) if n_items else float("nan")


def gini(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Return the Gini coefficient of the number of lists each item is in: 0 if equal, near 1 if a few items take all.

    G = Σ_i (2i - n - 1) x_i / (n Σ_i x_i), x ascending, i from 1, n the whole catalogue, items in no list included.
    NaN where all lists are empty.
    Source: Fleder and Hosanagar, Blockbuster culture's next rise or fall (Management Science 2009).
    """
    counts = np.sort(_counts(ranked, n_items, k))
    if not counts.any():
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ counts / (n_items * counts.sum()))


def _counts(ranked: np.ndarray, n_items: int, k: int) -> np.ndarray:
    """Return [n_items] the number of lists whose first k hold each item."""
    top = ranked[:, :k]
    return np.bincount(top[top != PADDING], minlength=n_items)


def user_coverage(ranked: np.ndarray, k: int) -> np.ndarray:
    """Return [Q] 1 for a list of k items, else 0; the mean is the share of users with a full list of k.

    Relevance plays no role (see `hit_rate` for that). Queries without a relevant item have a value too.
    Source: user space coverage of Gunawardana and Shani, Evaluating recommender systems (Recommender Systems Handbook,
    2015).
    """
    return ((ranked[:, :k] != PADDING).sum(axis=1) == k).astype(np.float64)
