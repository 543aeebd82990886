"""Gradient boosted trees fitted to the NDCG of the lists, whose output is added to the retrieval score.

Source: Burges, "From RankNet to LambdaRank to LambdaMART: an overview", Microsoft Research 2010. The trees are fitted
by YDF (Guillame-Bert et al., "Yggdrasil decision forests", KDD 2023); the SavedModel holds YDF's TensorFlow op
(docs/adr/0010-trees.md).
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
from trainer.ranking.contract import RankingData, RankingModel, ndcg_by_list, one_standard_error_rule
from trainer.ranking.settings import TreesSettings
from transform.names import outputs

MOST_CATEGORIES = 1_000  # a column with more is a number for the trees: its indices are ordered by frequency
MOST_INDICATORS = 64  # the maximum number of values of a multi-valued column, the most frequent, with a 0/1 input
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # tried for the trees; the retrieval score has weight 1
THREADS = 4  # fixed, since the fitted trees depend on the number of threads
GROUP, NO_INPUTS = "query", (names.LABEL, names.WEIGHT)  # columns of the training data that are no inputs of the trees
PREFIX = "trees_"  # the start of the names of the YDF model's files


class TreeInputs(tf.Module):
    """The inputs of the trees from transformed columns: name → a vector [B · C], float32 or, for a category, int32.

    A missing category is 0, which YDF uses for rare values. YDF's own code for missing, -1, is avoided, since with it
    YDF 0.16 corrupts its memory in training. The item's id is no input, since its index would reveal the labels: the
    vocabulary is ordered by the number of events, those of eval included, and the labels are made from events of eval.
    """

    def __init__(self, data: RankingData):
        super().__init__()
        self.signals, self.sizes = data.signals, data.sizes
        self.user, self.item = outputs(data.user), outputs(data.item)

    def __call__(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the inputs by name."""
        candidates = tf.shape(columns[names.ITEM_ID])[1]
        inputs = {name: tf.reshape(columns[name], [-1]) for name in self.signals}
        for name in self.user:
            inputs |= self._inputs(name, tf.repeat(columns[name], candidates, axis=0))
        for name in self.item:
            values = columns[name]
            inputs |= self._inputs(name, tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0)))
        return inputs

    def _inputs(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the inputs of a transformed column: one, or one per dimension of a vector or per frequent value."""
        if values.shape.rank == 1:
            if values.dtype.is_floating or self.sizes[name] > MOST_CATEGORIES:
                return {name: tf.cast(values, tf.float32)}
            return {name: tf.cast(values, tf.int32)}
        if values.dtype.is_floating:
            return {f"{name}_{index}": value for index, value in enumerate(tf.unstack(values, axis=1))}
        indices = np.arange(1, min(self.sizes[name] - 1, MOST_INDICATORS) + 1)
        present = tf.reduce_any(values[..., tf.newaxis] == tf.constant(indices, values.dtype), axis=1)
        columns = tf.unstack(tf.cast(present, tf.float32), num=len(indices), axis=1)
        return {f"{name}_{index}": column for index, column in zip(indices, columns, strict=True)}


class TreesModel(RankingModel):
    """The standardised retrieval score plus the weighted score of the trees, computed from raw inputs.

    Args:
      data: the data that the model was fitted on.
      model: the fitted trees.
      weight: the factor of the trees' score; 0 leaves the trees out.
      standardise: the mean and the standard deviation of the retrieval score in the train lists.
      probability: the map from scores to probabilities.
    """

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

            # `save` copies YDF's files from this folder into the SavedModel, so the folder lives as long as the model.
            self._folder = tempfile.TemporaryDirectory()
            model.save(self._folder.name, advanced_options=ydf.ModelIOOptions(file_prefix=PREFIX))
            self.trees = ydf_tf.tf_op.ModelV2(self._folder.name, verbose=False, file_prefix=PREFIX)
            # In a tf.function, since the op, if called eagerly, uses the first YDF model that the process loaded.
            self.apply = tf.function(
                lambda inputs: self.trees.apply(inputs).dense_predictions, reduce_retracing=True, autograph=False
            )

    def scores(self, columns):
        retrieval = (columns[names.RETRIEVAL_SCORE] - self.mean) / self.deviation
        if not self.weight:
            return retrieval
        tree_scores = self.apply(self.inputs(columns))
        return retrieval + self.weight * tf.reshape(tree_scores[:, 0], tf.shape(retrieval))

    def probabilities(self, scores):
        return self.probability(scores)


def fit(settings: TreesSettings, data: RankingData, seed: int) -> tuple[TreesModel, dict]:
    """Fit trees until the NDCG@10 of the validation lists stops growing, then choose their weight on the same lists.

    The weight is the smallest one whose NDCG is within one standard error of the highest; see
    `one_standard_error_rule`. The weight 0 keeps the retriever's order.
    """
    progress.report(f"fitting up to {settings.trees} trees")
    inputs = TreeInputs(data)
    train, validation = (_rows(inputs, columns) for columns in (data.train, data.validation))
    model = _learner(settings, train, seed).train(train, valid=validation)
    known = data.train[names.RETRIEVAL_SCORE][data.train[names.WEIGHT] > 0]
    standardise = float(known.mean()), float(known.std()) or 1.0
    labels, weights = data.validation[names.LABEL], data.validation[names.WEIGHT]
    tree_scores = np.zeros(labels.shape, np.float32)
    tree_scores[weights > 0] = model.predict(validation)
    retrieval = (data.validation[names.RETRIEVAL_SCORE] - standardise[0]) / standardise[1]
    by_list = np.stack([ndcg_by_list(retrieval + weight * tree_scores, labels, weights, 10) for weight in WEIGHTS])
    values = np.nanmean(by_list, axis=1)
    chosen = one_standard_error_rule(by_list)
    weight, value = WEIGHTS[chosen], values[chosen]
    progress.report(
        f"{model.num_trees()} trees; NDCG@10 of the lists {values[0]:.4f} in the retriever's order, "
        f"{value:.4f} with the trees at weight {weight:g}"
    )
    probability, errors = calibration.fit(settings.calibration, retrieval + weight * tree_scores, labels, weights)
    log = {"trees": model.num_trees(), "weight": weight, "kept_retrievers_order": not weight}
    log |= {"importance": _importance(model, data)} if weight else {}
    curve = [{"weight": weight, "ndcg@10": float(value)} for weight, value in zip(WEIGHTS, values, strict=True)]
    fitted = TreesModel(data, model, weight, standardise, probability)
    return fitted, log | {"curve": curve, "probabilities": errors}


def _importance(model: ydf.GenericModel, data: RankingData) -> dict[str, float]:
    """Return column → its share of the gain of all splits of the trees, the largest first (YDF's SUM_SCORE)."""
    gains = dict.fromkeys(data.inputs, 0.0)
    for score, name in model.variable_importances().get("SUM_SCORE", ()):
        # The names of inputs of multi-valued columns and of vectors end with `_` and a number; see `TreeInputs`.
        gains[name if name in gains else name.rpartition("_")[0]] += score
    total = sum(gains.values()) or 1.0
    return {name: score / total for name, score in sorted(gains.items(), key=lambda each: -each[1])}


def _rows(inputs: Callable, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the training data of YDF: inputs, label, weight and query of the n candidates that are no padding, [n]."""
    filled = (columns[names.WEIGHT] > 0).ravel()
    tensors = inputs({name: tf.constant(values) for name, values in columns.items()})
    arrays = {name: values.numpy()[filled] for name, values in tensors.items()}
    query = np.repeat(np.arange(len(columns[names.LABEL])), columns[names.LABEL].shape[1])
    others = {name: columns[name].ravel()[filled] for name in NO_INPUTS}
    return arrays | others | {GROUP: query[filled]}


def _learner(settings: TreesSettings, train: dict[str, np.ndarray], seed: int) -> ydf.GradientBoostedTreesLearner:
    """Return the YDF learner for `train`, the columns of `_rows`."""
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
            else ydf.Column(name, ydf.Semantic.DISCRETIZED_NUMERICAL)  # into 255 buckets, which is faster
            for name in train
            if name not in (*NO_INPUTS, GROUP)
        ],
        num_trees=settings.trees,
        max_depth=settings.depth,
        shrinkage=settings.shrinkage,
        min_examples=settings.min_examples,
        l2_regularization=settings.l2,
        subsample=settings.subsample,
        num_candidate_attributes_ratio=settings.feature_fraction,
        early_stopping="LOSS_INCREASE",
        early_stopping_num_trees_look_ahead=settings.patience,
        random_seed=seed,
        num_threads=THREADS,
    )
