"""Re-ranking as configured: which item is like which is computed from the catalogue once, lists in batches."""

import copy
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from core import names
from core.queries import Queries
from serving.item_vectors import item_vectors
from serving.rerank import adjust
from serving.rerank.calibration import Calibration, tastes
from serving.rerank.candidates import CandidateFeatures
from serving.rerank.caps import Cap
from serving.rerank.diversity import DPP, MMR, unit_rows
from serving.rerank.greedy import Term, greedy
from serving.rerank.settings import Reranking
from transform.features import Feature

_AT_ONCE = 1 << 23  # candidates times places, which bounds memory


class Reranker:
    """The ranker's order made into the one that is served.

    In this order: a candidate is worth what its place in the ranker's order is, or in the retriever's if it is cold and
    so configured; new items get their boost and popular ones their malus; then the list is built place by place,
    diversity and calibration weighing in at each, within the caps. That says what is on a page; on it, what is worth
    most comes first.

    Args:
      settings: what is to be done.
      catalogue: one row an item: its features and, where popularity counts or cold items do, its events.
      features: the items' features by column.
    """

    def __init__(self, settings: Reranking, catalogue: pa.Table, features: dict[str, Feature]):
        self.settings = settings
        self._likeness = unit_rows(item_vectors(catalogue, features)) if settings.mmr or settings.dpp else None
        # A row of `item_vectors` over one column has length 1: squared, its entries are shares.
        capped = [cap.column for cap in settings.caps]
        self._values = [item_vectors(catalogue, {column: features[column]}).sign() for column in capped]
        if settings.calibration:
            column = settings.calibration.column
            self._shares = item_vectors(catalogue, {column: features[column]}).power(2)
            self._rows = {item_id: row for row, item_id in enumerate(catalogue[names.ITEM_ID].to_pylist())}
        if settings.freshness:
            age = catalogue[settings.freshness.column].combine_chunks().cast(pa.float64())
            self._age = age.to_numpy(zero_copy_only=False)
        self._cold = None
        if settings.cold == "retrieved":
            self._cold = catalogue[names.EVENT_COUNT].to_numpy() == 0
        if settings.popularity:
            self._popularity = adjust.log_popularity(catalogue[names.EVENT_COUNT].to_numpy())

    def with_settings(self, settings: Reranking) -> "Reranker":
        """The same parts with other weights."""
        changed = copy.copy(self)
        changed.settings = settings
        return changed

    def rerank(self, queries: Queries, rows: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """[Q, min(k, C)] catalogue rows, best first, -1 past the last; and the ranker's scores of them.

        Args:
          queries: Q queries; their time and history are looked at.
          rows: [Q, C] candidates in the retriever's order, which ties keep; -1 for padding.
          scores: [Q, C] of the ranker, on any scale, -inf for padding.
          k: how many are wanted.
        """
        unmoved = None if self._cold is None else self._cold[rows] & (rows >= 0)
        order = adjust.order(scores, unmoved)
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
        k = min(k, rows.shape[1])
        if not self.settings.rearranges or not rows.size:
            return rows[:, :k], scores[:, :k]
        page = self.settings.page
        width = min(-(-k // page) * page, rows.shape[1])  # whole pages, so that the first places do not depend on k
        step = max(1, _AT_ONCE // (rows.shape[1] * width))
        parts = [np.arange(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
        places = np.concatenate([self._places(queries.take(part), rows[part], scores[part], width) for part in parts])
        places = places[:, :k]
        return np.take_along_axis(rows, places, axis=1), np.take_along_axis(scores, places, axis=1)

    def _places(self, queries: Queries, rows: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
        """[Q, k] of the candidates chosen."""
        relevance = adjust.relevance(scores)
        if fresh := self.settings.freshness:
            boost = adjust.freshness(self._age[rows], fresh.holds, queries.time, fresh.half_life_days)
            relevance += fresh.weight * boost
        if self.settings.popularity:
            relevance -= self.settings.popularity.weight * self._popularity[rows]
        caps = [
            Cap(CandidateFeatures(values, rows), cap.most, cap.first)
            for values, cap in zip(self._values, self.settings.caps, strict=True)
        ]
        chosen, forced = greedy(relevance, k, self._terms(queries, rows, k), caps)
        # What a cap says of the first places stays true where no page goes beyond them and what it forbids is behind.
        page = np.arange(k) // self.settings.page + sum(np.arange(k) >= cap.first for cap in self.settings.caps)
        worth = np.take_along_axis(relevance, chosen, axis=1)
        behind = np.where(np.isfinite(worth), forced, 2)
        order = np.lexsort((-worth, behind, np.broadcast_to(page, chosen.shape)), axis=1)
        return np.take_along_axis(chosen, order, axis=1)

    def _terms(self, queries: Queries, rows: np.ndarray, k: int) -> Sequence[tuple[float, Term]]:
        terms: list[tuple[float, Term]] = []
        if self._likeness is not None and self.settings.diversity:
            alike = CandidateFeatures(self._likeness, rows)
            mmr = self.settings.mmr
            terms.append((self.settings.diversity, MMR(alike, mmr.likeness == "nearest") if mmr else DPP(alike, k)))
        if self.settings.calibration:
            wanted = tastes(queries.history, self._rows, self._shares)
            terms.append((self.settings.calibrated, Calibration(CandidateFeatures(self._shares, rows), wanted)))
        return terms
