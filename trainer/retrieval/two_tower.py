"""Two-tower: a query network and a candidate network that meet in a dot product.

Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019:
softmax over the items of the batch (eq. 3), each logit less the log of the item's share of events (log-Q, eq. 5).
The query is the user's id, features and history; the candidate is the item's id and content.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from core import names, progress
from trainer.layers import FeatureEmbedding, seed_everything, shuffled_batches
from trainer.retrieval.contract import EmbeddingRetriever, RetrievalData
from trainer.retrieval.settings import TwoTowerSettings
from trainer.retrieval.validation import Judge
from transform import raw
from transform.names import outputs

ITEMS_AT_ONCE = 8192
# Columns of a batch beside the features', whose names start with a letter.
ROW, SHARE = "_row", "_share"


class QueryTower(tf.keras.Model):
    """Transformed user columns and history [B, H] → [B, D] of length 1."""

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, item_embedding: tf.keras.layers.Embedding):
        super().__init__()
        self.item_embedding = item_embedding
        self.user_embedding = tf.keras.layers.Embedding(data.sizes[names.USER_ID], settings.dim)
        self.content = FeatureEmbedding(data.features.user, data.sizes, settings.dim)
        self.dropout = tf.keras.layers.Dropout(settings.dropout)
        self.hidden = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.out = tf.keras.layers.Dense(settings.dim)

    def call(self, columns, training=False):
        history = columns[names.HISTORY]
        present = tf.cast(history > 0, tf.float32)[..., tf.newaxis]
        met = tf.reduce_sum(self.item_embedding(history) * present, axis=1)
        met = met / tf.sqrt(tf.maximum(tf.reduce_sum(present, axis=1), 1.0))
        parts = [self.user_embedding(columns[names.USER_ID]), met, *self.content(columns)]
        hidden = self.dropout(tf.concat(parts, axis=1), training=training)
        for layer in self.hidden:
            hidden = layer(hidden)
        return tf.math.l2_normalize(self.out(hidden) + met, axis=1)


class CandidateTower(tf.keras.Model):
    """Transformed item columns → [B, D] of length 1."""

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, item_embedding: tf.keras.layers.Embedding):
        super().__init__()
        self.item_embedding = item_embedding
        self.content = FeatureEmbedding(data.features.item, data.sizes, settings.dim)
        self.hidden = [tf.keras.layers.Dense(size, "relu") for size in settings.hidden]
        self.out = tf.keras.layers.Dense(settings.dim)

    def call(self, columns):
        item = self.item_embedding(columns[names.ITEM_ID])
        hidden = tf.concat([item, *self.content(columns)], axis=1)
        for layer in self.hidden:
            hidden = layer(hidden)
        return tf.math.l2_normalize(self.out(hidden) + item, axis=1)


class TwoTower(tfrs.Model):
    """The training model: both towers, and the loss of a batch of events."""

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData):
        super().__init__()
        scale = tf.keras.initializers.RandomNormal(stddev=settings.dim**-0.5)
        embedding = tf.keras.layers.Embedding(data.sizes[names.ITEM_ID], settings.dim, embeddings_initializer=scale)
        self.query, self.candidate = QueryTower(settings, data, embedding), CandidateTower(settings, data, embedding)
        self.user_columns = (names.USER_ID, names.HISTORY, *outputs(data.features.user))
        self.item_columns = (names.ITEM_ID, *outputs(data.features.item))
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True, temperature=settings.temperature)

    def compute_loss(self, columns, training=False):
        queries = self.query({name: columns[name] for name in self.user_columns}, training=training)
        candidates = self.candidate({name: columns[name] for name in self.item_columns})
        return self.task(
            queries,
            candidates,
            candidate_sampling_probability=columns[SHARE],
            candidate_ids=columns[ROW],
            compute_metrics=False,
        )


class TwoTowerRetriever(EmbeddingRetriever):
    """The fitted towers behind the transform graph: raw features in, embeddings out."""

    def __init__(self, data: RetrievalData, settings: TwoTowerSettings, model: TwoTower):
        super().__init__(data, settings)
        self.transform, self.query, self.candidate = data.transform, model.query, model.candidate
        item_ids = data.catalogue[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
        raw_items = {names.ITEM_ID: tf.constant(item_ids), **raw.from_table(data.catalogue, self.features.item)}
        transform = tf.function(lambda **item: data.transform(raw.to_sparse(item)))
        with tf.init_scope():
            self._items = dict(transform(**raw_items))
        self.embeddings = tf.Variable(tf.zeros([data.n_items, settings.dim]), trainable=False, name="embeddings")
        self.refresh()

    def embed_query(self, query):
        return self.query(self.transform(raw.to_sparse(query)))

    def embed_candidate(self, item):
        return self.candidate(self.transform(raw.to_sparse(item)))

    def refresh(self) -> None:
        """Embed the whole catalogue with the candidate tower as it is now."""
        starts = range(0, self.embeddings.shape[0], ITEMS_AT_ONCE)
        parts = [
            {name: value[start : start + ITEMS_AT_ONCE] for name, value in self._items.items()} for start in starts
        ]
        self.embeddings.assign(tf.concat([self.candidate(part) for part in parts], axis=0))


def fit(settings: TwoTowerSettings, data: RetrievalData, seed: int) -> TwoTowerRetriever:
    """Train for `settings.epochs` passes or, with validation queries, until their NDCG@10 no longer grows."""
    seed_everything(seed)
    columns = data.transformed()
    shares = (data.counts() / max(1, len(data.items))).astype(np.float32)
    columns |= {ROW: data.items, SHARE: shares[data.items]}
    model = TwoTower(settings, data)
    columns = {name: columns[name] for name in (*model.user_columns, *model.item_columns, ROW, SHARE)}
    batches = shuffled_batches(columns, settings.batch_size, seed)
    model.compile(optimizer=tf.keras.optimizers.legacy.Adam(settings.learning_rate))
    best = _Best(data, settings)
    for epoch in range(1, settings.epochs + 1):
        # TFRS adds the losses of a batch up; an event's share is what can be compared.
        loss = model.fit(batches, verbose=0).history["loss"][-1] / min(settings.batch_size, len(data.items))
        best.look(model, epoch, loss)
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {loss:.3f}{best.told()}")
        if best.is_past(epoch):
            break
    return best.retriever(model)


class _Best:
    """The weights that did best on the validation queries so far; without such queries, the last ones."""

    def __init__(self, data: RetrievalData, settings: TwoTowerSettings):
        self.data, self.settings = data, settings
        self.value, self.epoch, self.weights = -1.0, 0, None
        self.curve: list[dict[str, float]] = []
        self.judge: Judge | None = None

    def look(self, model: TwoTower, epoch: int, loss: float) -> None:
        """Judge the model after an epoch."""
        self.curve.append({"epoch": epoch, "loss": loss})
        if self.data.validation is None:
            self.epoch = epoch
            return
        if self.judge is None:  # only now: the first epoch gave the towers their shapes
            self.judged = TwoTowerRetriever(self.data, self.settings, model)
            self.judge = Judge(self.judged, self.data, k=10)
        self.judged.refresh()
        value = self.judge.ndcg()
        self.curve[-1]["ndcg@10"] = value
        if value > self.value:
            self.value, self.epoch, self.weights = value, epoch, model.get_weights()

    def is_past(self, epoch: int) -> bool:
        return epoch - self.epoch >= self.settings.patience

    def told(self) -> str:
        return f", NDCG@10 {self.curve[-1]['ndcg@10']:.4f}" if self.judge else ""

    def retriever(self, model: TwoTower) -> TwoTowerRetriever:
        """The best, with the number of epochs it took as the settings to fit it with again."""
        if self.weights is not None:
            model.set_weights(self.weights)
        found = TwoTowerRetriever(self.data, self.settings.model_copy(update={"epochs": self.epoch}), model)
        found.log = {"epoch": self.epoch, "curve": self.curve}
        return found
