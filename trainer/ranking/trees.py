"""Gradient boosted trees that climb the NDCG of the lists, beside the retriever's own order.

Source: Burges, "From RankNet to LambdaRank to LambdaMART: an overview", Microsoft Research 2010; grown by YDF
(Guillame-Bert et al., "Yggdrasil decision forests", KDD 2023), whose op the SavedModel holds (docs/adr/0010-trees.md).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow
from core.tf import register_ops

import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import ydf

from core import names, progress
from trainer.ranking import calibration
from trainer.ranking.contract import Ranker, RankingData, ndcg_by_list, simplest_of_the_best
from trainer.ranking.settings import TreesSettings
from transform.names import outputs

MOST_CATEGORIES = 1_000  # past this many an index is a number: a vocabulary is in the order of frequency
MOST_INDICATORS = 64  # of the values of a multi-valued column, the most frequent
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of the trees beside the retriever's standardised score
THREADS = 4  # which trees are grown depends on it, so it is no matter of the machine
GROUP, BESIDE = "query", (names.LABEL, names.WEIGHT)  # columns that are no inputs
PREFIX = "trees_"  # of the model's files


class TreeInputs(tf.Module):
    """Transformed columns → one vector [B · C] an input of the trees: float32, or int32 of a category, 0 for none.

    0 is a category like others, the one that YDF has for rare ones: where some are told to be missing, by -1, YDF 0.16
    writes past its memory while training.
    The item's id is not among them: the vocabulary's order would tell how often it was met in eval, which is what the
    lists are labelled by.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.signals, self.sizes = data.signals, data.sizes
        self.user, self.item = outputs(data.user), outputs(data.item)

    def __call__(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        candidates = tf.shape(columns[names.ITEM_ID])[1]
        inputs = {name: tf.reshape(columns[name], [-1]) for name in self.signals}
        for name in self.user:
            inputs |= self._inputs(name, tf.repeat(columns[name], candidates, axis=0))
        for name in self.item:
            values = columns[name]
            inputs |= self._inputs(name, tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0)))
        return inputs

    def _inputs(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        if values.shape.rank == 1:
            if values.dtype.is_floating or self.sizes[name] > MOST_CATEGORIES:
                return {name: tf.cast(values, tf.float32)}
            return {name: tf.cast(values, tf.int32)}
        if values.dtype.is_floating:
            return {f"{name}_{place}": value for place, value in enumerate(tf.unstack(values, axis=1))}
        shown = np.arange(1, min(self.sizes[name] - 1, MOST_INDICATORS) + 1)
        there = tf.reduce_any(values[..., tf.newaxis] == tf.constant(shown, values.dtype), axis=1)
        columns = tf.unstack(tf.cast(there, tf.float32), num=len(shown), axis=1)
        return {f"{name}_{index}": column for index, column in zip(shown, columns, strict=True)}


class TreesRanker(Ranker):
    """The retriever's standardised score and the trees' score, weighed, behind the transform graph."""

    def __init__(
        self,
        data: RankingData,
        model: ydf.GenericModel,
        weight: float,
        standardise: tuple[float, float],
        probability: tf.Module,
    ):
        super().__init__(data)
        self.inputs, self.weight, (self.mean, self.deviation) = TreeInputs(data), weight, standardise
        self.probability = probability
        if weight:
            register_ops()
            import ydf_tf

            # The SavedModel takes its asset from this folder, so it stays as long as the ranker does.
            self._folder = tempfile.TemporaryDirectory()
            model.save(self._folder.name, advanced_options=ydf.ModelIOOptions(file_prefix=PREFIX))
            self.trees = ydf_tf.tf_op.ModelV2(self._folder.name, verbose=False, file_prefix=PREFIX)
            # Outside of a function the op keeps the first model that a process loaded and answers with it for all.
            self.apply = tf.function(lambda inputs: self.trees.apply(inputs).dense_predictions, reduce_retracing=True)

    def scores(self, columns):
        retrieval = (columns[names.RETRIEVAL_SCORE] - self.mean) / self.deviation
        if not self.weight:
            return retrieval
        grown = self.apply(self.inputs(columns))
        return retrieval + self.weight * tf.reshape(grown[:, 0], tf.shape(retrieval))

    def probabilities(self, scores):
        return self.probability(scores)


def fit(settings: TreesSettings, data: RankingData, seed: int) -> tuple[TreesRanker, dict]:
    """Grow trees until the validation lists' NDCG@10 no longer grows, then choose their weight by the same lists.

    The weight is the smallest that is as good as the best but for chance; see `simplest_of_the_best`. With the weight 0
    the retriever's order stands.
    """
    progress.report(f"growing up to {settings.trees} trees")
    inputs = TreeInputs(data)
    train, validation = (_rows(inputs, columns) for columns in (data.train, data.validation))
    model = _learner(settings, train, seed).train(train, valid=validation)
    known = data.train[names.RETRIEVAL_SCORE][data.train[names.WEIGHT] > 0]
    standardise = float(known.mean()), float(known.std()) or 1.0
    truth = data.validation[names.LABEL], data.validation[names.WEIGHT]
    grown = np.zeros(truth[0].shape, np.float32)
    grown[truth[1] > 0] = model.predict(validation)
    retrieval = (data.validation[names.RETRIEVAL_SCORE] - standardise[0]) / standardise[1]
    by_list = np.stack([ndcg_by_list(retrieval + weight * grown, *truth, 10) for weight in WEIGHTS])
    values = np.nanmean(by_list, axis=1)
    chosen = simplest_of_the_best(by_list)
    weight, value = WEIGHTS[chosen], values[chosen]
    progress.report(
        f"{model.num_trees()} trees; NDCG@10 of the lists {values[0]:.4f} in the retriever's order, "
        f"{value:.4f} with the trees at weight {weight:g}"
    )
    probability, errors = calibration.fit(settings.calibration, retrieval + weight * grown, *truth)
    log = {"trees": model.num_trees(), "weight": weight, "kept_retrievers_order": not weight}
    log |= {"importance": _importance(model, data)} if weight else {}
    curve = [{"weight": weight, "ndcg@10": float(value)} for weight, value in zip(WEIGHTS, values, strict=True)]
    ranker = TreesRanker(data, model, weight, standardise, probability)
    return ranker, log | {"curve": curve, "probabilities": errors}


def _importance(model: ydf.GenericModel, data: RankingData) -> dict[str, float]:
    """Column → its share of all that the questions of the trees gained, the largest first (YDF's SUM_SCORE)."""
    gained = dict.fromkeys(data.told, 0.0)
    for score, name in model.variable_importances().get("SUM_SCORE", ()):
        # Several values and vectors are inputs by number, see `TreeInputs`.
        gained[name if name in gained else name.rpartition("_")[0]] += score
    total = sum(gained.values()) or 1.0
    return {name: score / total for name, score in sorted(gained.items(), key=lambda each: -each[1])}


def _rows(inputs: Callable, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The candidates that are no padding, as YDF reads them."""
    filled = (columns[names.WEIGHT] > 0).ravel()
    found = {
        name: values.numpy()[filled] for name, values in inputs({k: tf.constant(v) for k, v in columns.items()}).items()
    }
    query = np.repeat(np.arange(len(columns[names.LABEL])), columns[names.LABEL].shape[1])
    beside = {name: columns[name].ravel()[filled] for name in BESIDE}
    return found | beside | {GROUP: query[filled]}


def _learner(settings: TreesSettings, train: dict[str, np.ndarray], seed: int) -> ydf.GradientBoostedTreesLearner:
    ydf.verbose(0)
    integers = {name for name, values in train.items() if values.dtype == np.int32}
    return ydf.GradientBoostedTreesLearner(
        label=names.LABEL,
        weights=names.WEIGHT,
        ranking_group=GROUP,
        task=ydf.Task.RANKING,
        loss="LAMBDA_MART_NDCG",
        ndcg_truncation=10,
        features=[
            ydf.Column(name, ydf.Semantic.CATEGORICAL, is_already_integerized=True)
            if name in integers
            else ydf.Column(name, ydf.Semantic.DISCRETIZED_NUMERICAL)  # into 255 parts, which is faster
            for name in train
            if name not in (*BESIDE, GROUP)
        ],
        num_trees=settings.trees,
        max_depth=settings.depth,
        shrinkage=settings.shrinkage,
        min_examples=settings.min_examples,
        l2_regularization=settings.l2,
        subsample=settings.subsample,
        num_candidate_attributes_ratio=settings.inputs,
        early_stopping="LOSS_INCREASE",
        early_stopping_num_trees_look_ahead=settings.patience,
        random_seed=seed,
        num_threads=THREADS,
    )
