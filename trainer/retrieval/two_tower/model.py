"""The fitted towers behind the transform graph, and how they are fitted."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from core import names, progress
from trainer.layers import seed_everything
from trainer.retrieval.contract import EmbeddingRetriever, RetrievalData
from trainer.retrieval.two_tower import training
from trainer.retrieval.two_tower.batches import Batches, Columns, Histories, Sampling
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.training import TwoTower
from trainer.retrieval.two_tower.validation import Validation
from transform import raw
from transform.names import outputs

ITEMS_AT_ONCE = 8192


class TwoTowerRetriever(EmbeddingRetriever):
    """The fitted towers: raw features in, embeddings out.

    Args:
      data: what they were fitted on.
      settings: as the contract says.
      model: the towers.
      of_items: the catalogue's transformed columns, [N, …] each.
    """

    def __init__(self, data: RetrievalData, settings: TwoTowerSettings, model: TwoTower, of_items: Columns):
        super().__init__(data, settings)
        self.transform, self.weights = data.transform, model.variables
        # Behind a function, since of a Keras model the export has every layer's own functions too, which nobody calls:
        # they double what it takes to write and to load.
        self.towers = lambda: model
        self.embeddings = tf.Variable(embedded(model, of_items), trainable=False, name="embeddings")

    def embed_query(self, query):
        return self.towers().query(self.transform(raw.to_sparse(query)))

    def embed_candidate(self, item):
        return self.towers().candidate(self.transform(raw.to_sparse(item)))


def embedded(model: TwoTower, of_items: Columns) -> tf.Tensor:
    """[N, D] the whole catalogue as the candidate tower sees it now."""
    starts = range(0, len(of_items[names.ITEM_ID]), ITEMS_AT_ONCE)
    parts = [{name: column[start : start + ITEMS_AT_ONCE] for name, column in of_items.items()} for start in starts]
    return tf.concat([model.candidate(part) for part in parts], axis=0)


def fit(settings: TwoTowerSettings, data: RetrievalData, seed: int) -> TwoTowerRetriever:
    """Train for `settings.epochs` passes or, with validation queries, until their NDCG@10 no longer grows."""
    seed_everything(seed)
    data.check_transformed()
    of_items, of_users = item_columns(data), user_columns(data)
    trained = {names.USER_ID: of_users[names.USER_ID], names.ITEM_ID: of_items[names.ITEM_ID][data.items]}
    model = TwoTower(settings, data, {key: np.unique(ids) for key, ids in trained.items()})
    batches = Batches(
        of_users, of_items, data.items, histories(settings, data), data.sizes, sampling(settings, data), seed
    )
    step = training.steps(model, settings.learning_rate)
    best = _Best(settings, data, model, of_items, seed)
    for epoch in range(1, settings.epochs + 1):
        loss = training.epoch(step, batches)
        best.look(epoch, loss)
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {loss:.3f}{best.told()}")
        if best.is_past(epoch):
            break
    return best.retriever()


def item_columns(data: RetrievalData) -> Columns:
    """The catalogue's transformed columns, [N, …] each."""
    ids = data.catalogue[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
    return _transformed(data, {names.ITEM_ID: tf.constant(ids), **raw.from_table(data.catalogue, data.features.item)})


def user_columns(data: RetrievalData) -> Columns:
    """Each event's transformed user columns, [E, …] each; the events' own histories are not read."""
    if not data.features.user:  # nothing to read but ids, which are here
        encoded = pc.dictionary_encode(data.users)
        ids = tf.constant(encoded.dictionary.to_numpy(zero_copy_only=False))
        return {name: column[encoded.indices] for name, column in _transformed(data, {names.USER_ID: ids}).items()}
    columns = data.transformed()
    return {name: columns[name] for name in (names.USER_ID, *outputs(data.features.user))}


def _transformed(data: RetrievalData, columns: dict[str, tf.Tensor]) -> Columns:
    apply = tf.function(lambda **raw_columns: data.transform(raw.to_sparse(raw_columns)))
    return {name: column.numpy() for name, column in apply(**columns).items()}


def histories(settings: TwoTowerSettings, data: RetrievalData) -> Histories:
    """The histories of the events as training reads them."""
    users = pc.dictionary_encode(data.users).indices.to_numpy()
    longest = data.features.history_length
    read = min(settings.history_read or longest, longest)
    return Histories(users, data.items, data.timestamps, settings.in_order, longest, read)


def sampling(settings: TwoTowerSettings, data: RetrievalData) -> Sampling:
    """How batches are drawn."""
    return Sampling(
        batch_size=settings.batch_size,
        uniform=settings.uniform_negatives,
        pool=training.POOL if settings.hard_negatives else 0,
        skip_met=settings.skip_met,
        id_dropout=settings.id_dropout,
        oov_buckets=data.features.id_oov_buckets,
    )


class _Best:
    """The weights that did best on the validation queries so far; without such queries, the last ones."""

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, model: TwoTower, of_items: Columns, seed: int):
        self.settings, self.data, self.model, self.of_items = settings, data, model, of_items
        self.value, self.epoch, self.weights = -1.0, 0, None
        self.curve: list[dict[str, float]] = []
        self.validation = Validation(data, seed) if data.validation is not None else None

    def look(self, epoch: int, loss: float) -> None:
        """Judge the model after an epoch."""
        self.curve.append({"epoch": epoch, "loss": loss})
        if self.validation is None:
            self.epoch = epoch
            return
        value = self.validation.ndcg(self.model.query, embedded(self.model, self.of_items))
        self.curve[-1]["ndcg@10"] = value
        if value > self.value:
            self.value, self.epoch, self.weights = value, epoch, self.model.get_weights()

    def is_past(self, epoch: int) -> bool:
        return epoch - self.epoch >= self.settings.patience

    def told(self) -> str:
        return f", NDCG@10 {self.curve[-1]['ndcg@10']:.4f}" if self.validation else ""

    def retriever(self) -> TwoTowerRetriever:
        """The best, with the number of epochs it took as the settings to fit it with again."""
        if self.weights is not None:
            self.model.set_weights(self.weights)
        chosen = self.settings.model_copy(update={"epochs": self.epoch})
        found = TwoTowerRetriever(self.data, chosen, self.model, self.of_items)
        found.log = {"epoch": self.epoch, "curve": self.curve}
        return found
