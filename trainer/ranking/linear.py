"""A linear model of the retriever's scores, standardised within the query, and of further signals and features.

It is fitted to the listwise softmax, which is convex, so the fit has one solution (docs/adr/0044-linear-ranker.md).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import Any

import numpy as np
import tensorflow as tf
from scipy import sparse

from core import names, progress
from trainer.ranking import calibration, listwise
from trainer.ranking.contract import RankingData, RankingModel, list_ndcg, ndcg_by_list, one_standard_error_rule
from trainer.ranking.linear_inputs import LinearInputs
from trainer.ranking.settings import LinearSettings

LISTS_AT_ONCE = 256


class RetrieverScore(tf.Module):
    """The retrieval score [B, C], standardised over the train lists, which keeps the retriever's order."""

    def __init__(self, data: RankingData):
        super().__init__()
        known = data.train[names.RETRIEVAL_SCORE][data.train[names.WEIGHT] > 0]
        self.mean, self.deviation = float(known.mean()), float(known.std()) or 1.0

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        return (columns[names.RETRIEVAL_SCORE] - self.mean) / self.deviation


class LinearScore(tf.Module):
    """The linear score [B, C] from transformed columns.

    Args:
      inputs: the inputs.
      weights: [P] the weights of the numbers.
      tables: the weights of the values of each column of indices.
    """

    def __init__(self, inputs: LinearInputs, weights: np.ndarray, tables: list[np.ndarray]):
        super().__init__()
        self.inputs, self.weights = inputs, weights.astype(np.float32)
        self.tables = tuple(table.astype(np.float32) for table in tables)

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        score = tf.linalg.matvec(self.inputs.numbers(columns), self.weights)
        for table, (indices, shares) in zip(self.tables, self.inputs.values(columns), strict=True):
            score += tf.reduce_sum(tf.gather(table, indices) * shares, axis=-1)
        return score


class LinearModel(RankingModel):
    """The linear score, or the retrieval score where this is as good, computed from raw inputs."""

    def __init__(self, data: RankingData, score: LinearScore | RetrieverScore, probability: tf.Module):
        super().__init__(data)
        self.score, self.probability = score, probability

    def scores(self, columns):
        return self.score(columns)

    def probabilities(self, scores):
        return self.probability(scores)


def fit(settings: LinearSettings, data: RankingData, seed: int) -> tuple[LinearModel, dict]:
    """Fit the weights on the train lists; return the model and the log. The seed has no effect.

    If the linear score is not better than the retriever's order on the validation lists by more than one standard
    error, the retriever's order is kept; see `one_standard_error_rule`.
    """
    linear, log = fit_score(settings.l2, data)
    candidates = (RetrieverScore(data), linear)
    labels, weights = data.validation[names.LABEL], data.validation[names.WEIGHT]
    scores = [in_parts(score, data.validation) for score in candidates]
    chosen = one_standard_error_rule(np.stack([ndcg_by_list(each, labels, weights, 10) for each in scores]))
    before, after = (list_ndcg(each, labels, weights, 10) for each in scores)
    progress.report(f"NDCG@10 of the lists {before:.4f} in the retriever's order, {after:.4f} by the linear score")
    probability, errors = calibration.fit(settings.calibration, scores[chosen], labels, weights)
    log |= {"ndcg@10": after, "ndcg@10_of_retriever": before, "kept_retrievers_order": not chosen}
    if not chosen:
        del log["importance"]  # of a score that is not used
    return LinearModel(data, candidates[chosen], probability), log | {"probabilities": errors}


def fit_score(l2: float, data: RankingData) -> tuple[LinearScore, dict[str, Any]]:
    """Return the linear score fitted on the train lists, and a log: loss, number of steps, importance of the inputs.

    Args:
      l2: the penalty on the squared weights.
      data: the data.
    Raises:
      ModelError: no train list has a relevant candidate, or an input is not finite.
    """
    inputs = LinearInputs(data)
    lists = _lists(inputs, data.train)
    progress.report(f"fitting {lists.size:,} weights on {len(lists.owners):,} candidates")
    weights, value, steps = listwise.minimum(lists, l2)
    of_numbers, *tables = np.split(weights, np.cumsum([lists.numbers.shape[1], *inputs.sizes.values()])[:-1])
    importance = _importance(inputs, lists, of_numbers, tables, data)
    return LinearScore(inputs, of_numbers, tables), {"loss": value, "steps": steps, "importance": importance}


def in_parts(score: tf.Module, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the scores of transformed lists, `LISTS_AT_ONCE` per call: [Q, C]."""
    apply = tf.function(lambda **part: score(part), reduce_retracing=True, autograph=False)
    return np.concatenate([apply(**part).numpy() for part in _parts(columns)])


def _parts(columns: dict[str, np.ndarray]):
    """Yield the columns of `LISTS_AT_ONCE` lists at a time as tensors."""
    for start in range(0, len(columns[names.LABEL]), LISTS_AT_ONCE):
        yield {name: tf.constant(values[start : start + LISTS_AT_ONCE]) for name, values in columns.items()}


def _lists(inputs: LinearInputs, columns: dict[str, np.ndarray]) -> listwise.Lists:
    """Return the inputs of the candidates that are no padding; leave out numbers that are equal within each list."""
    filled = columns[names.WEIGHT] > 0
    apply = tf.function(
        lambda **part: (inputs.numbers(part), inputs.values(part)), reduce_retracing=True, autograph=False
    )
    numbers: list[np.ndarray] = []
    values: list[list[tuple[np.ndarray, np.ndarray]]] = []
    start = 0
    for part in _parts(columns):
        part_numbers, part_values = apply(**part)
        kept = filled[start : start + LISTS_AT_ONCE]
        start += LISTS_AT_ONCE
        numbers.append(part_numbers.numpy()[kept])
        values.append([(indices.numpy()[kept], shares.numpy()[kept]) for indices, shares in part_values])
    owners = np.repeat(np.arange(len(filled)), filled.sum(axis=1))
    joined = np.concatenate(numbers)
    first = np.searchsorted(owners, owners)  # the first candidate of each candidate's list
    varied = [np.any(column != column[first]) for column in joined.T]
    inputs.keep(np.flatnonzero(varied))
    joined = np.asarray(joined[:, varied], order="C")
    tables = []
    for position, size in enumerate(inputs.sizes.values()):
        indices, shares = (np.concatenate([part[position][each] for part in values]) for each in (0, 1))
        tables.append(_shares(indices, shares, size))
    none = sparse.csr_array((len(owners), 0))
    gains = (columns[names.LABEL] * columns[names.WEIGHT])[filled]
    return listwise.Lists(joined, sparse.csr_array(sparse.hstack([none, *tables])), owners, gains)


def _shares(indices: np.ndarray, shares: np.ndarray, size: int) -> sparse.csr_array:
    """Return the shares [n, size] of the values of a column from indices and shares [n, V]."""
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    present = shares.ravel() > 0
    values = shares.ravel()[present].astype(np.float64)
    return sparse.csr_array((values, (rows[present], indices.ravel()[present])), (len(indices), size))


def _importance(
    inputs: LinearInputs, lists: listwise.Lists, weights: np.ndarray, tables: list[np.ndarray], data: RankingData
) -> dict[str, float]:
    """Return input column → the variance of its part of the score within lists, as shares of 1, largest first."""
    parts = dict.fromkeys(data.inputs, 0.0)
    owners = np.array(inputs.owners)
    for name in dict.fromkeys(inputs.owners):
        columns = np.flatnonzero(owners == name)
        parts[name] = listwise.variance(lists.numbers[:, columns] @ weights[columns], lists)
    start = 0
    for column, table in zip(inputs.sizes, tables, strict=True):
        parts[column] = listwise.variance(lists.values[:, start : start + len(table)] @ table, lists)
        start += len(table)
    total = sum(parts.values()) or 1.0
    return {name: part / total for name, part in sorted(parts.items(), key=lambda each: -each[1])}
