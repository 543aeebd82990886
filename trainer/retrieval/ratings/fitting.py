"""Factors of ratings as arrays, fitted by scikit-surprise. No TensorFlow here."""

import contextlib
import io
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import pyarrow as pa

from core import progress
from trainer.retrieval.ratings.data import Ratings


@dataclass(frozen=True)
class RatingFactors:
    """The parameters of predicted ratings μ + b_u + b_i + q_i · p_u; zero for users and items without ratings.

    Args:
      mean: μ, the mean rating.
      biased: whether a prediction includes μ, b_u and b_i. If not, it is q_i · p_u, or μ if the user or the item has no
        ratings.
      users: [U, D] p_u.
      user_bias: [U] b_u.
      items: [N, D] q_i.
      item_bias: [N] b_i.
      implicit: [N, D] y_i of SVD++, already added to p_u, or None.
    """

    mean: float
    biased: bool
    users: np.ndarray
    user_bias: np.ndarray
    items: np.ndarray
    item_bias: np.ndarray
    implicit: np.ndarray | None = None


def trainset(ratings: Ratings) -> Any:
    """Return the ratings as a `surprise.Trainset`, with user ids and item rows as its raw ids.

    The inner ids and the order of ratings are the same as if Surprise itself had read the data, so that the same seed
    gives the same model.
    """
    from surprise import Trainset

    rows, items = _numbered(ratings.items)
    return Trainset(
        ur=_grouped(ratings.user_rows, items, ratings.values),
        ir=_grouped(items, ratings.user_rows, ratings.values),
        n_users=len(ratings.users),
        n_items=len(rows),
        n_ratings=len(ratings.values),
        rating_scale=(ratings.values.min(), ratings.values.max()),
        raw2inner_id_users={user: row for row, user in enumerate(ratings.users.to_pylist())},
        raw2inner_id_items={row: number for number, row in enumerate(rows.tolist())},
    )


class _EpochReporter(io.TextIOBase):
    """A replacement of stdout: an epoch that Surprise prints becomes a progress report, other text is passed on.

    Args:
      epochs: the number of epochs.
      stdout: the stream for other text.
    """

    def __init__(self, epochs: int, stdout: TextIO):
        self.epochs, self.stdout, self.line_reported = epochs, stdout, False

    def write(self, text: str) -> int:
        started = re.fullmatch(r" ?[Pp]rocessing epoch (\d+)", text)
        if started:
            with contextlib.redirect_stdout(self.stdout):  # a progress handler may print
                progress.report(f"epoch {int(started[1]) + 1}/{self.epochs}")
        elif text != "\n" or not self.line_reported:
            self.stdout.write(text)
        self.line_reported = started is not None
        return len(text)


def fit_factors(algorithm: Any, ratings: Ratings) -> RatingFactors:
    """Fit an algorithm of Surprise that trains in epochs, and return its parameters."""
    algorithm.verbose = True
    with contextlib.redirect_stdout(_EpochReporter(algorithm.n_epochs, sys.stdout)):
        algorithm.fit(trainset(ratings))
    return factors_of(algorithm, ratings)


def factors_of(algorithm: Any, ratings: Ratings) -> RatingFactors:
    """Return the parameters of a fitted algorithm of Surprise, by user and item row."""
    rows, _ = _numbered(ratings.items)
    users, implicit = algorithm.pu, None
    if hasattr(algorithm, "yj"):
        implicit = _catalogue_values(algorithm.yj, rows, ratings.n_items)
        users = users + _user_sums(ratings, implicit) / np.sqrt(np.bincount(ratings.user_rows))[:, None]
    return RatingFactors(
        mean=algorithm.trainset.global_mean,
        biased=getattr(algorithm, "biased", True),
        users=users,
        user_bias=algorithm.bu,
        items=_catalogue_values(algorithm.qi, rows, ratings.n_items),
        item_bias=_catalogue_values(algorithm.bi, rows, ratings.n_items),
        implicit=implicit,
    )


def item_user_means(ratings: Ratings, values: np.ndarray) -> np.ndarray:
    """Return [N, D], for each item the mean of `values` [U, D] over the users who rated it; zero without ratings."""
    sums = np.zeros((ratings.n_items, values.shape[1]))
    np.add.at(sums, ratings.items, values[ratings.user_rows])
    return sums / np.maximum(np.bincount(ratings.items, minlength=ratings.n_items), 1)[:, None]


def _numbered(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the item rows with ratings, in order of appearance, and the position of each rating's item among them."""
    encoded = pa.array(items).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()


def _grouped(owners: np.ndarray, others: np.ndarray, values: np.ndarray) -> defaultdict:
    """Return owner → its (other, value) pairs in the given order."""
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners)).tolist()
    pairs = list(zip(others[order].tolist(), values[order].tolist(), strict=True))
    starts = [0, *ends[:-1]]
    return defaultdict(list, {owner: pairs[a:b] for owner, (a, b) in enumerate(zip(starts, ends, strict=True))})


def _catalogue_values(values: np.ndarray, rows: np.ndarray, n_items: int) -> np.ndarray:
    """Return the values of the items at `rows` in an array over the whole catalogue, zero elsewhere."""
    full = np.zeros((n_items, *values.shape[1:]))
    full[rows] = values
    return full


def _user_sums(ratings: Ratings, values: np.ndarray) -> np.ndarray:
    """Return the sums of the items' values [N, D] over the rated items of each user: [U, D]."""
    sums = np.zeros((len(ratings.users), values.shape[1]))
    np.add.at(sums, ratings.user_rows, values[ratings.items])
    return sums
