"""Fusion: several models' lists made one.

Source: Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
SIGIR 2009: an item scores Σ over the models of weight / (k0 + its rank, the first being 1).
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf

from core import progress
from trainer.retrieval.contract import RetrievalData, Retriever
from trainer.retrieval.registry import MODELS
from trainer.retrieval.settings import FusionSettings


class FusionRetriever(Retriever):
    """The models side by side in one SavedModel.

    Args:
      members: the fitted models by name, in the order of the settings; what they are fitted with once more becomes the
        params of this model's settings.
    """

    def __init__(self, data: RetrievalData, settings: FusionSettings, members: dict[str, Retriever]):
        chosen = {name: member.settings.model_dump() for name, member in members.items()}
        super().__init__(data, settings.model_copy(update={"models": chosen}))
        self.members = members
        self.log = {name: member.log for name, member in members.items() if member.log}
        self.weights = [settings.weights.get(name, 1.0) for name in members]
        self.k0, self.depth = settings.k0, min(settings.depth, data.n_items)
        counts = data.counts()
        least = 1e-3 / (self.k0 + self.depth)  # below what the last rank adds
        self.popularity = tf.constant(least * counts / max(1, counts.max(initial=0)), tf.float32)

    def scores(self, query):
        return self._fused([member.scores(query) for member in self.members.values()])

    def item_scores(self, rows):
        return self._fused([member.item_scores(rows) for member in self.members.values()])

    def _fused(self, scores: list[tf.Tensor]) -> tf.Tensor:
        """[B, N] scores of each model → [B, N]."""
        batch = tf.shape(scores[0])[0]
        fused = tf.broadcast_to(self.popularity, tf.shape(scores[0]))
        shares = 1.0 / (self.k0 + 1.0 + tf.range(self.depth, dtype=tf.float32))
        owners = tf.repeat(tf.range(batch), self.depth)
        for weight, of_model in zip(self.weights, scores, strict=True):
            _, best = tf.math.top_k(of_model, self.depth)
            places = tf.stack([owners, tf.reshape(best, [-1])], axis=1)
            fused = tf.tensor_scatter_nd_add(fused, places, tf.tile(weight * shares, [batch]))
        return fused


def fit(settings: FusionSettings, data: RetrievalData, seed: int) -> FusionRetriever:
    """Fit each model as its own entry of the registry would."""
    members = {}
    for name, params in settings.models.items():
        progress.report(f"fitting {name} as part of fusion")
        members[name] = MODELS[name].load()(MODELS.check(name, params), data, seed)
    return FusionRetriever(data, settings, members)
