"""Estimators of the mean reward of an arm from the answers of all arms. NumPy only.

Each interval is the normal approximation by the influence function. Its unit is the user, not the answer: the answers
to a user have one arm and similar rewards, so as independent ones they would make the interval too narrow.
"""

import math
from dataclasses import dataclass

import numpy as np

Z = 1.959964  # the 97.5 % quantile of the normal distribution
FOLDS = 5


@dataclass(frozen=True)
class Log:
    """N answers to U users.

    Args:
      user: [N] the number of the user, from 0 to U - 1; each occurs.
      arm: [N] the number of the arm that made the answer.
      propensity: [N] the probability with which this arm was chosen, above 0.
      reward: [N] the reward.
      features: [N, F] what was known before the arm was chosen, for the reward model of `doubly_robust`.
    """

    user: np.ndarray
    arm: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def weights(self, arm: int) -> np.ndarray:
        """Return [N] the inverse propensity of an answer of the arm, 0 for other answers."""
        return np.where(self.arm == arm, 1.0 / self.propensity, 0.0)

    def by_user(self, values: np.ndarray) -> np.ndarray:
        """Return [U] the sum of the values [N] of each user's answers."""
        return np.bincount(self.user, values)


@dataclass(frozen=True)
class Estimate:
    """An estimate with its error.

    Args:
      value: the estimate; NaN if the log has no answer of the arm.
      influence: [U] the part of the estimate's error that each user contributes; their sum is 0.
    """

    value: float
    influence: np.ndarray

    @property
    def error(self) -> float:
        """Return the standard error; NaN with fewer than two users."""
        users = len(self.influence)
        return math.sqrt(users / (users - 1) * float(np.square(self.influence).sum())) if users > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Return the bounds of the 95 % interval."""
        return self.value - Z * self.error, self.value + Z * self.error

    def minus(self, other: "Estimate") -> "Estimate":
        """Return the difference of two estimates from one log, with the error of the difference."""
        return Estimate(self.value - other.value, self.influence - other.influence)


def on_arm_mean(log: Log, arm: int) -> Estimate:
    """Return the mean reward of the arm's answers, without weights."""
    return _ratio(log, (log.arm == arm).astype(float))


def ips(log: Log, arm: int) -> Estimate:
    """Return the estimate by inverse propensity scores (Horvitz and Thompson 1952): the mean over all answers of wr.

    w is the inverse propensity of an answer of the arm and 0 for another, r the reward. It is unbiased if the arm
    does not change the number of a user's answers.
    """
    if not (log.arm == arm).any():
        return _none(log)
    return _mean(log, log.weights(arm) * log.reward)


def snips(log: Log, arm: int) -> Estimate:
    """Return the self-normalised estimate (Swaminathan and Joachims 2015, section 4): sum of wr / sum of w.

    Its bias is of the order 1 / N; its variance is smaller where rewards are far from 0.
    """
    return _ratio(log, log.weights(arm))


def doubly_robust(log: Log, arm: int, penalty: float = 1.0) -> Estimate:
    """Return the doubly robust estimate (Dudík, Langford and Li 2011, equation 4): the mean of q + w (r - q).

    q is the reward of the arm that a ridge regression on the features predicts. It is fitted on the arm's answers to
    the users of the other folds, so that no user's reward is predicted from itself. With the propensities that the
    arms were chosen with, a wrong q makes the interval wider, not false.

    Args:
      log: the answers.
      arm: the number of the arm.
      penalty: the weight of the squared coefficients of the standardised features.
    """
    if not (log.arm == arm).any():
        return _none(log)
    predicted = np.zeros(len(log))
    fold = log.user % FOLDS
    for each in range(FOLDS):
        held_out = fold == each
        fitted = ~held_out & (log.arm == arm)
        if fitted.any() and held_out.any():
            predicted[held_out] = _ridge(log.features[fitted], log.reward[fitted], log.features[held_out], penalty)
    return _mean(log, predicted + log.weights(arm) * (log.reward - predicted))


ESTIMATORS = {"mean": on_arm_mean, "ips": ips, "snips": snips, "dr": doubly_robust}


def _mean(log: Log, values: np.ndarray) -> Estimate:
    """Return the mean of the values [N]. The number of answers is random too, so the error is that of a ratio."""
    mean = float(values.mean())
    return Estimate(mean, log.by_user(values - mean) / len(log))


def _ratio(log: Log, weights: np.ndarray) -> Estimate:
    """Return the mean reward with weights [N]."""
    total = weights.sum()
    if not total:
        return _none(log)
    mean = float(weights @ log.reward / total)
    return Estimate(mean, log.by_user(weights * (log.reward - mean)) / total)


def _none(log: Log) -> Estimate:
    """Return the estimate for an arm without answers."""
    return Estimate(math.nan, np.full(int(log.user.max(initial=-1)) + 1, math.nan))


def _ridge(features: np.ndarray, rewards: np.ndarray, others: np.ndarray, penalty: float) -> np.ndarray:
    """Return [M] the predictions for features `others` [M, F] of a ridge regression of rewards [N] on features [N, F].

    Features are standardised, and the intercept has no penalty.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    known = (features - centre) / scale
    mean = rewards.mean()
    gram = known.T @ known + penalty * np.eye(known.shape[1])
    return mean + (others - centre) / scale @ np.linalg.solve(gram, known.T @ (rewards - mean))
