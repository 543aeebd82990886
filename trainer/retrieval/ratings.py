"""Ratings and the factors fitted on them, as arrays; scikit-surprise does the fitting. No TensorFlow here."""

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
from core.errors import ModelError


@dataclass(frozen=True)
class Ratings:
    """E ratings of U users and N items.

    Args:
      users: [U] ids, in the order of their first rating.
      user_rows: [E] int32, the user of each rating.
      items: [E] int32, the catalogue row of each rating's item.
      values: [E] float64.
      n_items: N, items without a rating included.
    """

    users: pa.Array
    user_rows: np.ndarray
    items: np.ndarray
    values: np.ndarray
    n_items: int


@dataclass(frozen=True)
class RatingFactors:
    """A rating as μ + b_u + b_i + q_i · p_u; of a user or item without ratings, vectors and biases are zero.

    Args:
      mean: μ, the mean rating.
      biased: whether a prediction has μ, b_u and b_i; if not, it is q_i · p_u, and μ where either is unknown.
      users: [U, D] p_u.
      user_bias: [U] b_u.
      items: [N, D] q_i.
      item_bias: [N] b_i.
      implicit: [N, D] y_i of SVD++, already counted in p_u, or None.
    """

    mean: float
    biased: bool
    users: np.ndarray
    user_bias: np.ndarray
    items: np.ndarray
    item_bias: np.ndarray
    implicit: np.ndarray | None = None


def rated(users: pa.Array, items: np.ndarray, ratings: np.ndarray | None, n_items: int, model: str) -> Ratings:
    """Events as ratings. Raises: ModelError where they have none."""
    if ratings is None or not len(ratings):
        raise ModelError(
            f"{model} is fitted on ratings, but the events have none. Give every interaction a `rating`, named by "
            "`data.interactions.columns` where the file calls it otherwise, or choose a model that needs no ratings, "
            "such as ials."
        )
    encoded = users.dictionary_encode()
    return Ratings(encoded.dictionary, encoded.indices.to_numpy(), items, ratings.astype(np.float64), n_items)


def trainset(ratings: Ratings) -> Any:
    """The ratings as a `surprise.Trainset`, with users and catalogue rows as its raw ids.

    Its inner numbers and its order are those of Surprise's own data sets, so that the same seed fits the same model.
    """
    from surprise import Trainset

    rows, items = _numbered(ratings.items)
    return Trainset(
        ur=_by(ratings.user_rows, items, ratings.values),
        ir=_by(items, ratings.user_rows, ratings.values),
        n_users=len(ratings.users),
        n_items=len(rows),
        n_ratings=len(ratings.values),
        rating_scale=(ratings.values.min(), ratings.values.max()),
        raw2inner_id_users={user: row for row, user in enumerate(ratings.users.to_pylist())},
        raw2inner_id_items={row: number for number, row in enumerate(rows.tolist())},
    )


class _Epochs(io.TextIOBase):
    """What Surprise prints of its passes, which is all that it tells, as progress; anything else is printed.

    Args:
      epochs: how many passes there are.
      beyond: where what is printed goes.
    """

    def __init__(self, epochs: int, beyond: TextIO):
        self.epochs, self.beyond, self.line_is_told = epochs, beyond, False

    def write(self, text: str) -> int:
        begun = re.fullmatch(r" ?[Pp]rocessing epoch (\d+)", text)
        if begun:
            with contextlib.redirect_stdout(self.beyond):  # who listens may print
                progress.report(f"epoch {int(begun[1]) + 1}/{self.epochs}")
        elif text != "\n" or not self.line_is_told:
            self.beyond.write(text)
        self.line_is_told = begun is not None
        return len(text)


def fitted(algorithm: Any, ratings: Ratings) -> RatingFactors:
    """Fit an algorithm of Surprise's that makes passes, and take what it learned."""
    algorithm.verbose = True
    with contextlib.redirect_stdout(_Epochs(algorithm.n_epochs, sys.stdout)):
        algorithm.fit(trainset(ratings))
    return factors_of(algorithm, ratings)


def factors_of(algorithm: Any, ratings: Ratings) -> RatingFactors:
    """What a fitted algorithm of Surprise's learned, by user and catalogue row."""
    rows, _ = _numbered(ratings.items)
    users, implicit = algorithm.pu, None
    if hasattr(algorithm, "yj"):
        implicit = _spread(algorithm.yj, rows, ratings.n_items)
        users = users + _sums(ratings, implicit) / np.sqrt(np.bincount(ratings.user_rows))[:, None]
    return RatingFactors(
        mean=algorithm.trainset.global_mean,
        biased=getattr(algorithm, "biased", True),
        users=users,
        user_bias=algorithm.bu,
        items=_spread(algorithm.qi, rows, ratings.n_items),
        item_bias=_spread(algorithm.bi, rows, ratings.n_items),
        implicit=implicit,
    )


def company(ratings: Ratings, values: np.ndarray) -> np.ndarray:
    """[U, D] of the users → [N, D] of the items: the mean over those who rated each, zero where nobody did."""
    sums = np.zeros((ratings.n_items, values.shape[1]))
    np.add.at(sums, ratings.items, values[ratings.user_rows])
    return sums / np.maximum(np.bincount(ratings.items, minlength=ratings.n_items), 1)[:, None]


def _numbered(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The catalogue rows that have ratings, in order of appearance, and the place in them of each rating's item."""
    encoded = pa.array(items).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()


def _by(owners: np.ndarray, others: np.ndarray, values: np.ndarray) -> defaultdict:
    """Owner → its (other, value) pairs in the order given."""
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners)).tolist()
    pairs = list(zip(others[order].tolist(), values[order].tolist(), strict=True))
    starts = [0, *ends[:-1]]
    return defaultdict(list, {owner: pairs[a:b] for owner, (a, b) in enumerate(zip(starts, ends, strict=True))})


def _spread(values: np.ndarray, rows: np.ndarray, n_items: int) -> np.ndarray:
    """Values of the rated items → of the whole catalogue, zero elsewhere."""
    full = np.zeros((n_items, *values.shape[1:]))
    full[rows] = values
    return full


def _sums(ratings: Ratings, values: np.ndarray) -> np.ndarray:
    """[N, D] of the items → [U, D]: the sum over what each user rated."""
    sums = np.zeros((len(ratings.users), values.shape[1]))
    np.add.at(sums, ratings.user_rows, values[ratings.items])
    return sums
