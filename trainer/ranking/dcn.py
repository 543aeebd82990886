"""Deep and cross network: explicit feature crosses beside a deep network, over each candidate of a list.

Source: Wang et al., "DCN V2", WWW 2021, eq. 1 (x' = x0 ⊙ (W x + b) + x), in parallel with the deep part (section 3.3).
The loss over a list is softmax cross entropy against the share of each positive (ListNet; Cao et al., ICML 2007).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from core import names, progress
from trainer.layers import FeatureEmbedding, seed_everything, shuffled_batches
from trainer.ranking.contract import PER_CANDIDATE, Ranker, RankingData, list_ndcg
from trainer.ranking.settings import DCNSettings
from transform.names import outputs


class DCN(tf.keras.Model):
    """Transformed columns, users' [B, …] and candidates' [B, C, …] → [B, C] scores."""

    def __init__(self, settings: DCNSettings, data: RankingData):
        super().__init__()
        self.user_columns = (names.HISTORY, *outputs(data.features.user))
        self.item_columns = (names.ITEM_ID, *outputs(data.features.item))
        self.items = tf.keras.layers.Embedding(data.sizes[names.ITEM_ID], settings.dim)
        self.user_content = FeatureEmbedding(data.features.user, data.sizes, settings.dim)
        self.item_content = FeatureEmbedding(data.features.item, data.sizes, settings.dim)
        self.scale = tf.keras.layers.Normalization(axis=-1)
        self.scale.adapt(_retrieval(data.train)[data.train[names.WEIGHT] > 0])
        self.cross = [tfrs.layers.dcn.Cross() for _ in range(settings.cross_layers)]
        self.deep = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.dropout = tf.keras.layers.Dropout(settings.dropout)
        # At the start the network says nothing, and the candidates stand in the retriever's order.
        self.out = tf.keras.layers.Dense(1, kernel_initializer="zeros")
        only_the_score = tf.keras.initializers.Constant([[1.0], [0.0]])
        self.retrieval = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer=only_the_score)

    def call(self, columns, training=False):
        history = columns[names.HISTORY]
        present = tf.cast(history > 0, tf.float32)[..., tf.newaxis]
        met = tf.reduce_sum(self.items(history) * present, axis=1) / tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
        item = self.items(columns[names.ITEM_ID])
        retrieval = self.scale(_retrieval(columns))
        candidates = tf.shape(item)[1]
        user = tf.concat([met, *self.user_content(columns)], axis=1)
        user = tf.repeat(user[:, tf.newaxis], candidates, axis=1)
        start = tf.concat([retrieval, user, item, item * met[:, tf.newaxis], *self.item_content(columns)], axis=-1)
        start = self.dropout(start, training=training)
        crossed = deep = start
        for layer in self.cross:
            crossed = layer(start, crossed)
        for layer in self.deep:
            deep = self.dropout(layer(deep), training=training)
        # The retriever's own score goes straight to the end: the network learns what to change in its order.
        return (self.out(tf.concat([crossed, deep], axis=-1)) + self.retrieval(retrieval))[..., 0]


class DCNRanker(Ranker):
    """The fitted network behind the transform graph."""

    def __init__(self, data: RankingData, model: DCN):
        super().__init__(data)
        self.model = model

    def scores(self, columns):
        return self.model(columns)


def fit(settings: DCNSettings, data: RankingData, seed: int) -> tuple[DCNRanker, dict]:
    """Train until the validation lists' NDCG@10 no longer grows; returns the best, and the curve.

    The retriever's own order is the first to be judged: a ranker that has nothing to add changes nothing.
    """
    seed_everything(seed)
    model = DCN(settings, data)
    kept = (*model.user_columns, *model.item_columns, *PER_CANDIDATE, names.LABEL, names.WEIGHT)
    batches = shuffled_batches({name: data.train[name] for name in kept}, settings.batch_size, seed)
    optimizer = tf.keras.optimizers.legacy.Adam(settings.learning_rate)
    loss_of = _softmax_loss if settings.loss == "softmax" else _pointwise_loss

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = loss_of(model(batch, training=True), batch[names.LABEL], batch[names.WEIGHT])
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    score = tf.function(lambda **columns: model(columns), reduce_retracing=True)
    judge = functools.partial(_judged, score, data.validation, kept)
    best, curve = (judge(), 0), []
    weights = model.get_weights()
    curve.append({"epoch": 0, "ndcg@10": best[0]})
    progress.report(f"NDCG@10 of the lists in the retriever's order {best[0]:.4f}")
    for epoch in range(1, settings.epochs + 1):
        loss = float(np.mean([step(batch).numpy() for batch in batches]))
        value = judge()
        curve.append({"epoch": epoch, "loss": loss, "ndcg@10": value})
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {loss:.3f}, NDCG@10 of the lists {value:.4f}")
        if value > best[0]:
            best, weights = (value, epoch), model.get_weights()
        if epoch - best[1] >= settings.patience:
            break
    model.set_weights(weights)
    return DCNRanker(data, model), {"epoch": best[1], "curve": curve}


def _retrieval(columns):
    """[..., 2]: the retrieval score, and the log of the rank."""
    return tf.stack([columns[names.RETRIEVAL_SCORE], tf.math.log1p(columns[names.RETRIEVAL_RANK])], axis=-1)


def _softmax_loss(scores, labels, weights):
    """Mean over lists of -Σ_j (label_j / Σ label) log softmax(score)_j over the candidates that are no padding."""
    log_shares = tf.nn.log_softmax(tf.where(weights > 0, scores, scores.dtype.min), axis=1)
    targets = labels / tf.maximum(tf.reduce_sum(labels, axis=1, keepdims=True), 1.0)
    return tf.reduce_mean(-tf.reduce_sum(tf.where(weights > 0, targets * log_shares, 0.0), axis=1))


def _pointwise_loss(scores, labels, weights):
    """Mean over candidates of the binary cross entropy."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, scores)
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)


def _judged(score, columns, kept, lists=256):
    """NDCG@10 of lists in the order of the model as it is now."""
    count = len(columns[names.LABEL])
    parts = [{name: columns[name][start : start + lists] for name in kept} for start in range(0, count, lists)]
    scores = [score(**{name: tf.constant(values) for name, values in part.items()}).numpy() for part in parts]
    return list_ndcg(np.concatenate(scores), columns[names.LABEL], columns[names.WEIGHT], 10)
