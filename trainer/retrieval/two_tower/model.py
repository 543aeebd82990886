"""The fitted two-tower model, which embeds raw features, and the function that fits it."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import Any

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import names, progress
from trainer.layers import seeded
from trainer.retrieval import plan
from trainer.retrieval.contract import EmbeddingModel, RetrievalData
from trainer.retrieval.tables import Tables
from trainer.retrieval.two_tower import epochs, training
from trainer.retrieval.two_tower.batches import Batches, Columns, Sampling
from trainer.retrieval.two_tower.chunks import HistoryKind, Sequences
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.training import TwoTower
from transform import raw

ITEMS_AT_ONCE = 8192


class TwoTowerModel(EmbeddingModel):
    """The fitted towers: raw features in, embeddings out.

    Args:
      data: the data that the towers were fitted on.
      settings: the settings for a later fit on more events; see `RetrievalModel`.
      towers: the towers.
      item_columns: the catalogue's transformed columns, [N, …] each.
    """

    def __init__(self, data: RetrievalData, settings: TwoTowerSettings, towers: TwoTower, item_columns: Columns):
        super().__init__(data, settings)
        self.transform, self.towers = data.transform, towers
        self.embeddings = tf.Variable(embedded(towers, item_columns), trainable=False, name="embeddings")

    def tables(self):
        def ask(_, transformed):
            return self.towers.query(transformed(self.transform))

        return Tables(plan.Embedding(), {"embeddings": self.embeddings}, ask, self.embed_candidate)

    def embed_query(self, query):
        return self.towers.query(self.transform(raw.to_sparse(query)))

    def embed_candidate(self, item):
        return self.towers.candidate(self.transform(raw.to_sparse(item)))


def embedded(towers: TwoTower, item_columns: Columns) -> tf.Tensor:
    """Return the embeddings of the catalogue's items by the towers with their current weights: [N, D]."""
    starts = range(0, len(item_columns[names.ITEM_ID]), ITEMS_AT_ONCE)
    parts = [{name: column[start : start + ITEMS_AT_ONCE] for name, column in item_columns.items()} for start in starts]
    return tf.concat([towers.candidate(part) for part in parts], axis=0)


def fit(settings: TwoTowerSettings, data: RetrievalData, seed: int) -> TwoTowerModel:
    """Train for `settings.epochs` passes or, with validation queries, until their NDCG@10 stops growing."""
    data.check_transformed()
    if data.follows is not None and not data.follows.ahead:
        settings = data.follows.settings()
    items, users = data.item_columns(), data.user_columns()
    trained = {names.USER_ID: users[names.USER_ID], names.ITEM_ID: items[names.ITEM_ID][data.items]}

    def towers_of(settings: TwoTowerSettings) -> TwoTower:
        return TwoTower(settings, data, {key: np.unique(ids) for key, ids in trained.items()})

    with seeded(seed), data.distribution.scope():
        towers = towers_of(settings)
    batches = Batches(users, items, data.items, sequences(settings, data), data.sizes, sampling(settings, data), seed)
    step = training.steps(towers, settings.learning_rate, seed, data.base, data.distribution)
    kept = epochs.keeping(settings, data, towers, lambda: embedded(towers, items), seed)
    for epoch in range(1, settings.epochs + 1):
        loss = training.epoch(step, batches)
        kept.update(epoch, loss)
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {loss:.3f}{kept.metric_text()}")
        if kept.is_past(epoch):
            break
    kept.restore()
    if data.distribution.several:
        towers = with_weights(towers_of(settings), towers, next(iter(batches)))
    model = TwoTowerModel(data, settings.model_copy(update={"epochs": kept.epoch}), towers, items)
    model.log = {"epoch": kept.epoch, "curve": kept.curve}
    return model


def with_weights(towers: TwoTower, trained: TwoTower, batch: dict[str, Any]) -> TwoTower:
    """Give new towers, whose variables are on one device, the weights of trained ones, and return them."""
    towers.create_weights(batch)
    towers.set_weights(trained.get_weights())
    return towers


def sequences(settings: TwoTowerSettings, data: RetrievalData) -> Sequences:
    """Return the events of each user, with the histories that they are trained with."""
    users = pc.dictionary_encode(data.users).indices.to_numpy()
    length = settings.history_length(data.features.history_length)
    kind = HistoryKind(settings.causal_history, settings.history != "mean", length, settings.batch_size)
    return Sequences(users, data.items, data.timestamps, kind)


def sampling(settings: TwoTowerSettings, data: RetrievalData) -> Sampling:
    """Return the settings by which batches are sampled."""
    return Sampling(
        batch_size=settings.batch_size,
        negatives=settings.negatives,
        uniform=settings.uniform_negatives,
        pool=training.POOL if settings.hard_negatives else 0,
        exclude_positives=settings.exclude_positives,
        id_dropout=settings.id_dropout,
        oov_buckets=data.features.id_oov_buckets,
    )
