"""The linear listwise softmax: its loss, the gradient of the loss, and the weights that minimise it. NumPy and SciPy.

The score of a candidate is x · w, with numbers and shares of values as its inputs x. The loss is convex in w.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from core.errors import ModelError

ROWS_AT_ONCE = 1 << 16  # candidates whose numbers are copied to float64 at a time
MOST_STEPS = 1_000
TOLERANCE = 1e-5  # of the largest component of the gradient; the loss is a mean over lists


@dataclass(frozen=True)
class Lists:
    """The candidates of Q lists, one list after the other, without padding.

    Args:
      numbers: [n, P] the numeric inputs.
      values: [n, V] the shares of values, which most candidates do not have.
      owners: [n] the list of each candidate, ascending.
      gains: [n] label · weight of each candidate; 0 where it is not relevant.
    """

    numbers: np.ndarray
    values: sparse.csr_array
    owners: np.ndarray
    gains: np.ndarray
    starts: np.ndarray = field(init=False)
    segments: np.ndarray = field(init=False)
    targets: np.ndarray = field(init=False)
    relevant: np.ndarray = field(init=False)

    def __post_init__(self):
        """Compute the first candidate, the target shares and whether any candidate is relevant of each list."""
        _, starts, segments = np.unique(self.owners, return_index=True, return_inverse=True)
        totals = np.add.reduceat(self.gains.astype(np.float64), starts) if len(starts) else np.zeros(0)
        targets = np.divide(self.gains, totals[segments], out=np.zeros(len(segments)), where=totals[segments] > 0)
        computed = {"starts": starts, "segments": segments, "targets": targets, "relevant": totals > 0}
        for name, value in computed.items():
            object.__setattr__(self, name, value)

    @property
    def size(self) -> int:
        """The number of weights: those of the numbers, then those of the values."""
        return self.numbers.shape[1] + self.values.shape[1]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Return the score of each candidate, [n]."""
        of_numbers, of_values = np.split(weights, [self.numbers.shape[1]])
        scores = np.concatenate([np.zeros(0), *(part @ of_numbers for part in self._parts())])
        return scores + self.values @ of_values

    def gradient(self, residuals: np.ndarray) -> np.ndarray:
        """Return the gradient of the weights from that of the scores [n]."""
        total, start = np.zeros(self.numbers.shape[1]), 0
        for part in self._parts():
            total += residuals[start : start + len(part)] @ part
            start += len(part)
        return np.concatenate([total, self.values.T @ residuals])

    def _parts(self):
        """Yield the numbers in parts of float64."""
        for start in range(0, len(self.numbers), ROWS_AT_ONCE):
            yield self.numbers[start : start + ROWS_AT_ONCE].astype(np.float64, copy=False)


def loss(weights: np.ndarray, lists: Lists, l2: float) -> tuple[float, np.ndarray]:
    """Return the loss of the weights and its gradient.

    The loss is the mean, over lists with a relevant candidate, of -Σ_j p_j log softmax(score)_j, plus l2 Σ w². p_j,
    the target share of candidate j, is its gain divided by the sum of the gains of its list.

    Source: Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ListNet), ICML 2007, eq. 3,
    with the labels' shares as the target.
    """
    scores = lists.scores(weights)
    scores -= np.maximum.reduceat(scores, lists.starts)[lists.segments]
    exponentials = np.exp(scores)
    sums = np.add.reduceat(exponentials, lists.starts)
    log_shares = scores - np.log(sums)[lists.segments]
    # A list without a relevant candidate has no loss, and so no gradient.
    shares = exponentials * np.where(lists.relevant, 1 / sums, 0.0)[lists.segments]
    count = lists.relevant.sum()
    value = -(lists.targets * log_shares).sum() / count + l2 * (weights**2).sum()
    return float(value), lists.gradient((shares - lists.targets) / count) + 2 * l2 * weights


def minimum(lists: Lists, l2: float) -> tuple[np.ndarray, float, int]:
    """Return the weights with the least loss, that loss, and the number of steps.

    The weights are found by L-BFGS (Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
    Mathematical Programming 1989), from 0.

    Raises:
      ModelError: no list has a relevant candidate, or an input is not finite.
    """
    if not lists.relevant.any():
        raise ModelError("the lists that a linear ranker is fitted on should have relevant candidates; found none")
    start = np.zeros(lists.size)
    found = minimize(
        loss,
        start,
        args=(lists, l2),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "ftol": 1e-9, "gtol": TOLERANCE},
    )
    if not np.isfinite(found.fun):
        raise ModelError(f"the loss of a linear ranker should be finite; found {found.fun}: an input is not finite")
    return found.x, float(found.fun), int(found.nit)


def variance(contributions: np.ndarray, lists: Lists) -> float:
    """Return the variance within lists of a part of the scores, [n], over all candidates."""
    counts = np.diff(np.append(lists.starts, len(contributions)))
    means = np.add.reduceat(contributions, lists.starts) / counts
    return float(np.mean((contributions - means[lists.segments]) ** 2))
