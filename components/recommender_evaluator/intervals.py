"""Bootstrap intervals of means over queries, and of paired differences between two models."""

from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
# Bounds memory: about 24 bytes for each user of each resample drawn at once.
_DRAWN_AT_ONCE = 1 << 20


class Intervals(NamedTuple):
    """Means with 95% intervals; four arrays of one shape, NaN where no query has a value.

    Args:
      mean: mean over the queries that have a value.
      low: lower end of the interval.
      high: upper end of the interval.
      queries: int, the number of queries that have a value.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    queries: np.ndarray


def of_means(
    values: np.ndarray,
    resamples: int,
    seed: int,
    users: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Intervals:
    """Return means over the first axis with percentile bootstrap intervals.

    A resample draws as many users as there are, with replacement, each with all their queries. The interval is from the
    2.5th to the 97.5th percentile of the means of the resamples. Queries of one user are correlated, so a resample of
    single queries would give too narrow an interval. All columns share the resamples, so that many metrics cost little
    more than one.

    Args:
      values: [Q, ...] one value per query; NaN is left out of the mean.
      resamples: the number of resamples.
      seed: the seed; the same seed gives the same interval.
      users: [Q] the user of each query, of any sortable type; by default each query has a user of its own.
      weights: the weight of each value, not negative, in a shape that broadcasts to that of `values`; 1 by default.

    Returns:
      `Intervals` of shape [...]. A query of weight 0 is counted among those that have a value.

    Raises:
      ValueError: the length of `users` is not Q.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; by clusters, Davison and Hinkley,
    Bootstrap Methods and their Application (1997), 3.8.
    """
    if users is not None and users.shape != values.shape[:1]:
        raise ValueError(f"users should be one a query, [{len(values)}]; found {list(users.shape)}")
    columns = values.reshape(len(values), int(np.prod(values.shape[1:]))).astype(np.float64)
    valid = ~np.isnan(columns)
    queries = valid.sum(axis=0)
    columns = np.where(valid, columns, 0.0)
    counted = valid.astype(np.float64)
    if weights is not None:
        weights = np.broadcast_to(weights, values.shape).reshape(columns.shape)
        columns, counted = columns * weights, counted * weights
    mean = _divided(columns.sum(axis=0), counted.sum(axis=0))
    means = _resampled(_by_user(columns, users), _by_user(counted, users), resamples, seed)
    tail = 100 * (1 - CONFIDENCE) / 2
    ends = np.full((2, columns.shape[1]), np.nan)
    some = ~np.isnan(mean)
    if some.any():
        ends[:, some] = np.nanpercentile(means[:, some], [tail, 100 - tail], axis=0)
    return Intervals(*(part.reshape(values.shape[1:]) for part in (mean, *ends, queries)))


def of_differences(
    first: np.ndarray,
    second: np.ndarray,
    resamples: int,
    seed: int,
    users: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Intervals:
    """Return the means of `first - second` by query, with intervals: the paired bootstrap test of two models.

    Both models are measured on the same queries, so the difficulty of a query cancels out. An interval above (below)
    zero is a gain (loss) that is significant at 5%, two-sided.

    Args:
      first: [Q, ...] one value per query; a query that is NaN in `first` or `second` is left out.
      second: [Q, ...] values of the same queries in the same order.
      resamples, seed, users, weights: as in `of_means`.

    Raises:
      ValueError: the shapes differ.

    Source: Sakai, Evaluating evaluation metrics based on the bootstrap (SIGIR 2006).
    """
    if first.shape != second.shape:
        raise ValueError(f"paired values should have one shape; found {list(first.shape)} and {list(second.shape)}")
    return of_means(first - second, resamples, seed, users, weights)


def _by_user(columns: np.ndarray, users: np.ndarray | None) -> np.ndarray:
    """Return [users, M] the sums of the rows of each user."""
    if users is None or not len(users):
        return columns
    order = np.argsort(users, kind="stable")
    by_user = users[order]
    starts = np.flatnonzero(np.append(True, by_user[1:] != by_user[:-1]))
    return np.add.reduceat(columns[order], starts, axis=0)


def _resampled(sums: np.ndarray, counts: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return [resamples, M] the means of each resample; NaN where no query in it has a value.

    Args:
      sums: [U, M] the sum of the values of each user.
      counts: [U, M] the number of these values, or their weight.
    """
    n_users = len(sums)
    means = np.full((resamples, sums.shape[1]), np.nan)
    if not n_users:
        return means
    # Many columns have equal counts, so each distinct column of counts is summed only once.
    place: dict[bytes, int] = {}
    same = np.array([place.setdefault(column.tobytes(), len(place)) for column in counts.T], dtype=np.int64)
    _, kept = np.unique(same, return_index=True)
    different = counts[:, kept]
    draw = np.random.default_rng(seed)
    step = max(1, _DRAWN_AT_ONCE // n_users)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = draw.integers(n_users, size=(size, n_users))
        drawn += np.arange(size)[:, None] * n_users
        # The number of times that each user was drawn: a matrix product gives the sums of all columns.
        times = np.bincount(drawn.ravel(), minlength=size * n_users).reshape(size, n_users).astype(np.float64)
        means[start : start + size] = _divided(times @ sums, (times @ different)[:, same])
    return means


def _divided(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return sums / counts, NaN where a count is 0."""
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
