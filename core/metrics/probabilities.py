"""Metrics of scores and of probabilities against labels: each (query, item) pair is a row, in no order.

Labels are 0 or 1. Without a row, and for the AUC with labels of one kind alone, there is no value: NaN.
"""

from typing import NamedTuple

import numpy as np

_CLIP = 1e-15  # a probability of 0 or 1 that is wrong would cost infinitely much


class Reliability(NamedTuple):
    """Rows binned by their probability; arrays of one length, empty bins left out.

    Args:
      predicted: mean probability of the bin.
      observed: share of its labels that are 1.
      rows: how many it has.
    """

    predicted: np.ndarray
    observed: np.ndarray
    rows: np.ndarray


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log likelihood in nats: -mean(y ln p + (1 - y) ln(1 - p)), p clipped to [1e-15, 1 - 1e-15].

    A constant prediction of the base rate has the entropy of the labels, so read it beside that.
    Source: Good, Rational decisions (JRSS B 1952).
    """
    labels, p = _checked(labels, probabilities)
    p = np.clip(p, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(labels, np.log(p), np.log1p(-p)))) if len(p) else float("nan")


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Reliability:
    """What share came true of what was predicted, in bins of equal width over [0, 1]; 1 belongs to the last.

    Source: DeGroot and Fienberg, The comparison and evaluation of forecasters (The Statistician 1983).
    """
    labels, p = _checked(labels, probabilities)
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    predicted, observed = (np.bincount(place, values, bins)[filled] / count[filled] for values in (p, labels))
    return Reliability(predicted, observed, count[filled])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: Σ_b rows_b / n · |observed_b - predicted_b| over the bins of `reliability`.

    In [0, 1]; 0 where in each bin as much came true as was predicted. It says nothing of the order.
    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning (AAAI 2015).
    """
    found = reliability(labels, probabilities, bins)
    if not len(found.rows):
        return float("nan")
    return float(np.average(np.abs(found.observed - found.predicted), weights=found.rows))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a row with label 1 has a higher score than one with label 0, ties one half, over all rows.

    (Σ ranks of the ones - r (r + 1) / 2) / (r n), tied scores sharing the mean of their ranks: Mann and Whitney's U.
    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve (Radiology 1982).
    """
    return float(_auc_of_groups(labels, scores, np.zeros(len(labels), dtype=np.int64))[0][0]) if len(labels) else np.nan


def grouped_roc_auc(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> float:
    """Mean over groups (users) of the AUC within each, weighted by its ones; groups of one kind of label are left out.

    Unlike `roc_auc` it compares no scores of different users, which no list does either.
    Source: Zhu et al., Optimized cost per click in Taobao display advertising (KDD 2017); Zhou et al., Deep interest
    network for click-through rate prediction (KDD 2018); they weigh by impressions or clicks.
    """
    _, codes = np.unique(groups, return_inverse=True)
    values, ones = _auc_of_groups(labels, scores, codes)
    measured = ~np.isnan(values)
    return float(np.average(values[measured], weights=ones[measured])) if measured.any() else float("nan")


def _auc_of_groups(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[G] AUC within each group, NaN for labels of one kind; and [G] its ones."""
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
    labels, p = _binary(labels), np.asarray(probabilities, dtype=np.float64)
    if labels.shape != p.shape:
        raise ValueError(f"labels and probabilities should have one shape; found {labels.shape} and {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities should be in [0, 1]; found {p[~((p >= 0) & (p <= 1))][0]}")
    return labels, p


def _binary(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels should be 0 or 1; found {labels[~np.isin(labels, (0, 1))][0]}")
    return labels.astype(bool)
