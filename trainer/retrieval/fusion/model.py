"""Reciprocal rank fusion of several retrievers; the members' scores and ranks become signals of the ranker.

Source: Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
SIGIR 2009: the score of an item is Σ weight / (k + rank) over the members, ranks starting at 1. The weights are given,
or learned by coordinate ascent on NDCG (Metzler & Croft, "Linear feature-based models for information retrieval",
2007).

A member that scores items by their events ranks cold items last. For cold items, `cold_weight_share` of the weight of
these members is therefore moved to the members that score items by their features. Each of the latter receives an equal
part, since their own weights measure their quality on items with events. Weights are learned as if the share were 0.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from core import memory, metrics, names, progress
from trainer.registry import rank_signal, score_signal
from trainer.retrieval import fitting, plan, tables
from trainer.retrieval.contract import RetrievalData, RetrievalModel, masked
from trainer.retrieval.fusion.settings import FusionSettings
from trainer.retrieval.inference import retrieve
from trainer.retrieval.registry import MODELS
from trainer.retrieval.validation import validation_queries

FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # the factors by which coordinate ascent tries to multiply a weight
ROUNDS = 3
MEMBER_BYTES = 1 << 30  # the free memory for each member that is fitted beside others
POOL, K = 300, 10  # the number of candidates that weights are learned on, for NDCG@K


class FusionModel(RetrievalModel):
    """The members in one SavedModel.

    Args:
      members: label → fitted member, in the order of `settings.models`. The members' own settings, with the choices
        made in their fits, become their params in the settings of this model.
    """

    def __init__(self, data: RetrievalData, settings: FusionSettings, members: dict[str, RetrievalModel]):
        chosen = {name: member.settings.model_dump() for name, member in members.items()}
        for name, params in settings.models.items():
            chosen[name] |= {"model": params["model"]} if "model" in params else {}
        super().__init__(data, settings.model_copy(update={"models": chosen}))
        self.members = members
        entries = MODELS.members("fusion", settings)
        self.by_features = [MODELS.scores_by_features(*entries[name]) for name in members]
        self.cold_share = settings.cold_weight_share
        self.cold = tf.constant(self.cold_share * (data.counts() == 0), tf.float32)
        self.log = {name: member.log for name, member in members.items() if member.log}
        self.rank_constant, self.depth = settings.rank_constant, min(settings.depth, data.n_items)
        self.set_weights({name: settings.weights.get(name, 1.0) for name in members})
        counts = data.counts()
        least = 1e-3 / (self.rank_constant + self.depth)  # below 1 / (k + rank) of the last rank used
        self.popularity = tf.constant(least * counts / max(1, counts.max(initial=0)), tf.float32)

    def set_weights(self, weights: dict[str, float]) -> None:
        """Set the weight of each member."""
        self.weights = [float(weights[name]) for name in self.members]
        self.settings = self.settings.model_copy(update={"weights": dict(weights), "learn_weights": False})

    def engine_signatures(self):
        labels = list(self.members)
        fusion = plan.Fusion(
            weights=dict(zip(labels, self.weights, strict=True)),
            by_features=tuple(label for label, known in zip(labels, self.by_features, strict=True) if known),
            rank_constant=self.rank_constant,
            depth=self.depth,
            cold_share=self.cold_share,
        )
        fused = {"received": self._received(), "share": 1.0 - self.cold, "ties": self.popularity}
        parts = {label: member.tables() for label, member in self.members.items()}
        return tables.signatures(parts, self._latest, self.features, fusion, fused)

    def scores_and_signals(self, query, exclude):
        signals: dict[str, tf.Tensor] = {}
        ranks = []
        for name, member in self.members.items():
            scores = masked(member.scores(query), exclude)
            ranks.append(self._ranks(scores))
            signals |= {score_signal(name): scores, rank_signal(name): ranks[-1]}
        return {names.SCORE: masked(self._fuse(ranks), exclude)} | signals

    def scores(self, query):
        nothing = tf.fill([tf.shape(query[names.HISTORY])[0], 1], tf.constant(-1, tf.int64))
        return self.scores_and_signals(query, nothing)[names.SCORE]

    def item_scores(self, rows):
        return self._fuse([self._ranks(member.item_scores(rows)) for member in self.members.values()])

    def _ranks(self, scores: tf.Tensor) -> tf.Tensor:
        """Return the ranks [B, N] of items by scores [B, N], from 0; `depth` for all items after the first `depth`."""
        batch = tf.shape(scores)[0]
        _, best = tf.math.top_k(scores, self.depth)
        owners = tf.repeat(tf.range(batch), self.depth)
        positions = tf.stack([owners, tf.reshape(best, [-1])], axis=1)
        ranks = tf.tile(tf.range(self.depth, dtype=tf.float32), [batch])
        return tf.tensor_scatter_nd_update(tf.fill(tf.shape(scores), float(self.depth)), positions, ranks)

    def _fuse(self, ranks: list[tf.Tensor]) -> tf.Tensor:
        """Return the fused scores [B, N] of items from their ranks [B, N] by each member."""
        fused = tf.broadcast_to(self.popularity, tf.shape(ranks[0]))
        received = self._received()
        for weight, known, rank in zip(self.weights, self.by_features, ranks, strict=True):
            item_weights = weight + received if known else weight * (1.0 - self.cold)
            fused += tf.where(rank < self.depth, item_weights / (self.rank_constant + 1.0 + rank), 0.0)
        return fused

    def _received(self) -> tf.Tensor:
        """Return the weight [N] that each member by features gets from the other members."""
        by_events = sum(weight for weight, known in zip(self.weights, self.by_features, strict=True) if not known)
        return self.cold * by_events / max(1, sum(self.by_features))


def fit(settings: FusionSettings, data: RetrievalData, seed: int) -> FusionModel:
    """Fit each member, and learn the weights on the validation queries where configured.

    Raises:
      ModelError: the weights are to be learned, but no validation query has a relevant item.
    """
    members = _fitted(MODELS.members("fusion", settings), data, seed)
    if data.follows is not None:
        return FusionModel(data, data.follows.settings(), members)
    fused = FusionModel(data, settings, members)
    if settings.learn_weights:
        weights, value = _learned_weights(fused, data)
        fused.set_weights(weights)
        fused.log = {**fused.log, "weights": weights, "ndcg@10": value}
        progress.report(f"weights {', '.join(f'{k} {v:g}' for k, v in weights.items())}; NDCG@10 {value:.4f} on eval")
    return fused


def _fitted(
    members: Mapping[str, tuple[str, dict[str, Any]]], data: RetrievalData, seed: int
) -> dict[str, RetrievalModel]:
    """Return label → fitted member; members whose fits may run in threads are fitted beside the others.

    With several replicas, whose fits share communication, or with little memory, all members are fitted one after the
    other.
    """
    number = min(len(os.sched_getaffinity(0)), memory.available() // MEMBER_BYTES)

    def fit_member(label: str) -> RetrievalModel:
        model, params = members[label]
        choices = None if data.choices is None else data.choices.member(label)
        own = replace(data, choices=choices, base=None if data.base is None else data.base.member(label))
        with progress.labelled(label):
            progress.report("fitting a member of the fusion")
            return fitting.fit(model, MODELS.check(model, params), own, seed)

    with ThreadPoolExecutor(max(1, number), "member") as threads:
        beside = number > 1 and not data.distribution.several
        in_threads = [label for label, (model, _) in members.items() if MODELS[model].threads and beside]
        fits = {label: threads.submit(copy_context().run, fit_member, label) for label in in_threads}
        fitted = {label: fit_member(label) for label in members if label not in fits}
        return {label: fits[label].result() if label in fits else fitted[label] for label in members}


def _learned_weights(fused: FusionModel, data: RetrievalData) -> tuple[dict[str, float], float]:
    """Return the weights that coordinate ascent finds on the validation queries, and their NDCG@10."""
    queries = validation_queries(data)
    labels = list(fused.members)
    candidates = retrieve(fused.signatures()["retrieve"], queries, data.features.user, data.n_items, POOL)
    relevant = metrics.hits(candidates.rows, queries.relevant_offsets, queries.relevant_items, data.n_items)
    ranks = np.stack([candidates.signals[rank_signal(label)] for label in labels], axis=-1)
    shares = np.where(ranks < fused.depth, 1.0 / (fused.rank_constant + 1.0 + ranks), 0.0)  # [Q, C, members]
    relevant_counts = np.diff(queries.relevant_offsets)

    def ndcg(weights: np.ndarray) -> float:
        order = np.argsort(-(shares @ weights), axis=1, kind="stable")
        hits = np.take_along_axis(relevant, order, axis=1)
        return float(np.nanmean(metrics.ndcg(hits, relevant_counts, K)))

    weights = np.array(fused.weights)
    best = ndcg(weights)
    for _ in range(ROUNDS):
        before = best
        for member in range(len(labels)):
            for factor in FACTORS:
                changed = weights.copy()
                changed[member] = max(changed[member], 0.25) * factor
                value = ndcg(changed)
                if value > best + 1e-6 and changed.any():
                    best, weights = value, changed
        if best == before:
            break
    return dict(zip(labels, map(float, weights), strict=True)), best
