"""What each candidate is worth by itself: by its place in the order, by its age, and by its popularity."""

import numpy as np

DAY = 86_400
YEAR = 365.2425 * DAY  # the mean year of the Gregorian calendar


def order(scores: np.ndarray, unmoved: np.ndarray | None = None) -> np.ndarray:
    """[Q, C] the candidates by falling score, of equals the first; those unmoved at the very place they have.

    Args:
      scores: [Q, C] -inf for padding, which is behind all others and stays there.
      unmoved: [Q, C] bool; None: all move.
    """
    if unmoved is None:
        return np.argsort(-scores, axis=1, kind="stable")
    ranked = np.argsort(np.where(unmoved, np.nan, -scores), axis=1, kind="stable")  # NaN is last
    places = np.argsort(unmoved, axis=1, kind="stable")  # those of the others, in their order; then theirs
    found = np.empty_like(ranked)
    np.put_along_axis(found, places, ranked, axis=1)
    return found


def relevance(scores: np.ndarray) -> np.ndarray:
    """[Q, C] 1 / log2(1 + place): 1, 0.63, 0.5, … whatever the scale of the ranker's scores.

    It is what an item at that place counts in NDCG, so a weight means the same for every ranker and every list, and the
    ranker's first places, of which it is surest, are given up last.

    Args:
      scores: [Q, C] of the candidates in order; -inf for padding, which stays.

    Source of the discount: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (TOIS 2002).
    """
    return np.where(np.isfinite(scores), 1 / np.log2(np.arange(scores.shape[1]) + 2.0), -np.inf)


def freshness(values: np.ndarray, holds: str, times: np.ndarray, half_life_days: float) -> np.ndarray:
    """[Q, C] 2^(-age / half-life), in [0, 1]: 1 for a new item, 0 for one whose age is not known.

    What is dated later than the query counts as new.

    Args:
      values: [Q, C] what stands in the items' column, NaN where it is missing.
      holds: `timestamp` (seconds since 1970-01-01 UTC), `year` (a calendar year) or `age_days`.
      times: [Q] when each query is asked, in seconds since 1970-01-01 UTC.
      half_life_days: after so many days the boost is half.
    """
    asked = times[:, None].astype(np.float64)
    if holds == "timestamp":
        days = (asked - values) / DAY
    elif holds == "year":
        days = (1970 + asked / YEAR - values) * (YEAR / DAY)
    else:
        days = values
    return np.nan_to_num(np.exp2(-np.maximum(days, 0.0) / half_life_days))


def log_popularity(event_counts: np.ndarray) -> np.ndarray:
    """[N] log(1 + events) over that of the most popular item, in [0, 1].

    The logarithm, as what is taken off a score to undo the frequency of its class: Menon et al., Long-tail learning via
    logit adjustment (ICLR 2021); of re-ranking against popularity, Abdollahpouri, Burke and Mobasher, Managing
    popularity bias in recommender systems with personalized re-ranking (FLAIRS 2019).
    """
    logs = np.log1p(event_counts)
    return logs / max(float(logs.max(initial=0.0)), 1.0)
