"""Metrics of scores and probabilities against labels; each (query, item) pair is a row, in any order.

Labels are 0 or 1. The value is NaN without a row, and for AUC if all labels are equal.
"""

from typing import NamedTuple

import numpy as np

_CLIP = 1e-15  # keeps the loss finite for a wrong probability of 0 or 1


class Reliability(NamedTuple):
    """Rows binned by probability, without empty bins.

    Args:
      predicted: mean probability of each bin.
      observed: share of labels of 1 in each bin.
      rows: number of rows in each bin.
    """

    predicted: np.ndarray
    observed: np.ndarray
    rows: np.ndarray


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats: -mean(y ln p + (1 - y) ln(1 - p)).

    p is clipped to [1e-15, 1 - 1e-15]. Compare the value with the entropy of the labels, which is the value of a
    constant prediction of the base rate.
    Source: Good, Rational decisions (JRSS B 1952).
    """
    labels, p = _checked(labels, probabilities)
    p = np.clip(p, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(labels, np.log(p), np.log1p(-p)))) if len(p) else float("nan")


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Reliability:
    """Return the observed and predicted shares in bins of equal width over [0, 1]; 1 belongs to the last bin.

    Source: DeGroot and Fienberg, The comparison and evaluation of forecasters (The Statistician 1983).
    """
    labels, p = _checked(labels, probabilities)
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    filled = count > 0
    predicted, observed = (np.bincount(index, values, bins)[filled] / count[filled] for values in (p, labels))
    return Reliability(predicted, observed, count[filled])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error Σ_b rows_b / n · |observed_b - predicted_b| over the bins of `reliability`.

    In [0, 1]; 0 where the observed share equals the predicted one in each bin. It does not depend on the order.
    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning (AAAI 2015).
    """
    binned = reliability(labels, probabilities, bins)
    if not len(binned.rows):
        return float("nan")
    return float(np.average(np.abs(binned.observed - binned.predicted), weights=binned.rows))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the probability that a row with label 1 has a higher score than one with label 0; ties count one half.

    (Σ ranks of the ones - r (r + 1) / 2) / (r n), with mean ranks for tied scores: Mann and Whitney's U.
    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve (Radiology 1982).
    """
    return float(_auc_of_groups(labels, scores, np.zeros(len(labels), dtype=np.int64))[0][0]) if len(labels) else np.nan


def grouped_roc_auc(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean AUC within groups, weighted by the number of rows with label 1.

    Groups whose labels are all equal are left out. Unlike `roc_auc`, scores of different groups are not compared.
    Source: Zhu et al., Optimized cost per click in Taobao display advertising (KDD 2017); Zhou et al., Deep interest
    network for click-through rate prediction (KDD 2018); both weight the AUC of a user by impressions or clicks.
    """
    _, codes = np.unique(groups, return_inverse=True)
    values, ones = _auc_of_groups(labels, scores, codes)
    measured = ~np.isnan(values)
    return float(np.average(values[measured], weights=ones[measured])) if measured.any() else float("nan")


def _auc_of_groups(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return [G] the AUC in each group, NaN if its labels are all equal; and [G] its number of rows with label 1."""
    labels = _binary(labels)
    if labels.shape != scores.shape or labels.shape != groups.shape:
        raise ValueError(
            f"labels, scores and groups should have one shape; found {labels.shape}, {scores.shape}, {groups.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("scores should be numbers; found NaN")
    order = np.lexsort((scores, groups))
    labels, scores, groups = labels[order], scores[order], groups[order]
    sizes = np.bincount(groups)
    first = np.r_[0, np.cumsum(sizes)[:-1]]
    # Tied scores of a group share the mean of their ranks.
    new = np.r_[True, (scores[1:] != scores[:-1]) | (groups[1:] != groups[:-1])][: len(scores)]
    runs = np.flatnonzero(new)
    lengths = np.diff(np.r_[runs, len(scores)])
    ranks = np.repeat(runs + (lengths + 1) / 2, lengths) - first[groups]
    ones = np.bincount(groups, labels, len(sizes))
    summed = np.bincount(groups, labels * ranks, len(sizes))
    pairs = ones * (sizes - ones)
    values = np.divide(summed - ones * (ones + 1) / 2, pairs, out=np.full(len(sizes), np.nan), where=pairs > 0)
    return values, ones


def _checked(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as bool and probabilities as float64. Raises: ValueError."""
    labels, p = _binary(labels), np.asarray(probabilities, dtype=np.float64)
    if labels.shape != p.shape:
        raise ValueError(f"labels and probabilities should have one shape; found {labels.shape} and {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities should be in [0, 1]; found {p[~((p >= 0) & (p <= 1))][0]}")
    return labels, p


def _binary(labels: np.ndarray) -> np.ndarray:
    """Return labels as bool. Raises: ValueError."""
    labels = np.asarray(labels)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels should be 0 or 1; found {labels[~np.isin(labels, (0, 1))][0]}")
    return labels.astype(bool)
