"""Fusion: several models' lists made one; what each of them says goes on to the ranker.

Source: Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
SIGIR 2009: an item scores Σ over the models of weight / (k0 + its rank, the first being 1). The weights are given, or
learned by coordinate ascent on NDCG (Metzler & Croft, "Linear feature-based models for information retrieval", 2007).

A model that knows items by their events has no opinion of one without any, and puts it behind all others. With `cold`
above 0 it gives up that share of its vote, in equal parts, to the models that know the item by its features: in equal
ones, since a weight says how well a model knows the items with events. Weights are learned as if there were none.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import metrics, names, progress
from trainer.registry import rank_signal, score_signal
from trainer.retrieval import ask
from trainer.retrieval.contract import RetrievalData, Retriever, masked
from trainer.retrieval.registry import MODELS
from trainer.retrieval.settings import FusionSettings
from trainer.retrieval.validation import validation_queries

FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # what a weight is tried multiplied by
ROUNDS = 3
JUDGED, K = 300, 10  # how many of each model's best are looked at when weights are learned, for NDCG@K


class FusionRetriever(Retriever):
    """The models side by side in one SavedModel.

    Args:
      members: the fitted models by name, in the order of the settings; what they are fitted with once more becomes the
        params of this model's settings.
    """

    def __init__(self, data: RetrievalData, settings: FusionSettings, members: dict[str, Retriever]):
        chosen = {name: member.settings.model_dump() for name, member in members.items()}
        for name, params in settings.models.items():
            chosen[name] |= {"model": params["model"]} if "model" in params else {}
        super().__init__(data, settings.model_copy(update={"models": chosen}))
        self.members = members
        of_models = MODELS.members("fusion", settings)
        self.knowing = [MODELS.knows_features(*of_models[name]) for name in members]
        self.cold = tf.constant(settings.cold * (data.counts() == 0), tf.float32)
        self.log = {name: member.log for name, member in members.items() if member.log}
        self.k0, self.depth = settings.k0, min(settings.depth, data.n_items)
        self.weigh({name: settings.weights.get(name, 1.0) for name in members})
        counts = data.counts()
        least = 1e-3 / (self.k0 + self.depth)  # below what the last rank adds
        self.popularity = tf.constant(least * counts / max(1, counts.max(initial=0)), tf.float32)

    def weigh(self, weights: dict[str, float]) -> None:
        """Set each model's weight."""
        self.weights = [float(weights[name]) for name in self.members]
        self.settings = self.settings.model_copy(update={"weights": dict(weights), "learned": False})

    def opinions(self, query, exclude):
        signals: dict[str, tf.Tensor] = {}
        ranks = []
        for name, member in self.members.items():
            of_model = masked(member.scores(query), exclude)
            ranks.append(self._ranks(of_model))
            signals |= {score_signal(name): of_model, rank_signal(name): ranks[-1]}
        return {names.SCORE: masked(self._fused(ranks), exclude)} | signals

    def scores(self, query):
        nothing = tf.fill([tf.shape(query[names.HISTORY])[0], 1], tf.constant(-1, tf.int64))
        return self.opinions(query, nothing)[names.SCORE]

    def item_scores(self, rows):
        return self._fused([self._ranks(member.item_scores(rows)) for member in self.members.values()])

    def _ranks(self, scores: tf.Tensor) -> tf.Tensor:
        """[B, N] scores → [B, N] ranks, 0 for the best; all past `depth` are of that rank."""
        batch = tf.shape(scores)[0]
        _, best = tf.math.top_k(scores, self.depth)
        owners = tf.repeat(tf.range(batch), self.depth)
        places = tf.stack([owners, tf.reshape(best, [-1])], axis=1)
        ranks = tf.tile(tf.range(self.depth, dtype=tf.float32), [batch])
        return tf.tensor_scatter_nd_update(tf.fill(tf.shape(scores), float(self.depth)), places, ranks)

    def _fused(self, ranks: list[tf.Tensor]) -> tf.Tensor:
        """[B, N] ranks of each model → [B, N]."""
        fused = tf.broadcast_to(self.popularity, tf.shape(ranks[0]))
        abstaining = sum(weight for weight, knows in zip(self.weights, self.knowing, strict=True) if not knows)
        given = self.cold * abstaining / max(1, sum(self.knowing))  # to each that knows
        for weight, knows, rank in zip(self.weights, self.knowing, ranks, strict=True):
            vote = weight + given if knows else weight * (1.0 - self.cold)
            fused += tf.where(rank < self.depth, vote / (self.k0 + 1.0 + rank), 0.0)
        return fused


def fit(settings: FusionSettings, data: RetrievalData, seed: int) -> FusionRetriever:
    """Fit each model as its own entry of the registry would; learn the weights by the validation queries, where asked.

    Raises:
      ModelError: the weights are to be learned and there is no validation query with a right answer.
    """
    members = {}
    for label, (model, params) in MODELS.members("fusion", settings).items():
        progress.report(f"fitting {label} as part of fusion")
        members[label] = MODELS[model].load()(MODELS.check(model, params), data, seed)
    fused = FusionRetriever(data, settings, members)
    if settings.learned:
        weights, value = _learned(fused, data)
        fused.weigh(weights)
        fused.log = {**fused.log, "weights": weights, "ndcg@10": value}
        progress.report(f"weights {', '.join(f'{k} {v:g}' for k, v in weights.items())}; NDCG@10 {value:.4f} on eval")
    return fused


def _learned(fused: FusionRetriever, data: RetrievalData) -> tuple[dict[str, float], float]:
    """The weights of the best NDCG@10 on the validation queries that changing one at a time finds, and that NDCG."""
    asked = validation_queries(data)
    labels = list(fused.members)
    found = ask.retrieve(fused.signatures()["retrieve"], asked, data.features.user, data.n_items, JUDGED)
    right = metrics.hits(found.rows, asked.relevant_offsets, asked.relevant_items, data.n_items)
    ranks = np.stack([found.signals[rank_signal(label)] for label in labels], axis=-1)
    shares = np.where(ranks < fused.depth, 1.0 / (fused.k0 + 1.0 + ranks), 0.0)  # [Q, C, models]
    answers = np.diff(asked.relevant_offsets)

    def ndcg(weights: np.ndarray) -> float:
        order = np.argsort(-(shares @ weights), axis=1, kind="stable")
        hits = np.take_along_axis(right, order, axis=1)
        return float(np.nanmean(metrics.ndcg(hits, answers, K)))

    weights = np.array(fused.weights)
    best = ndcg(weights)
    for _ in range(ROUNDS):
        before = best
        for place in range(len(labels)):
            for factor in FACTORS:
                tried = weights.copy()
                tried[place] = max(tried[place], 0.25) * factor
                value = ndcg(tried)
                if value > best + 1e-6 and tried.any():
                    best, weights = value, tried
        if best == before:
            break
    return dict(zip(labels, map(float, weights), strict=True)), best
