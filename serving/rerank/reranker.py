"""The re-ranker: the configured rules applied to batches of lists."""

import copy

import numpy as np
import pyarrow as pa

from core.queries import Queries
from serving.rerank.greedy import greedy
from serving.rerank.items import Items
from serving.rerank.relevance import order, relevance
from serving.rerank.rule import BonusRule, ConstraintRule, SelectionRule
from serving.rerank.settings import Reranking
from transform.features import Feature

_BATCH_CELLS = 1 << 23  # the maximum of lists · candidates · positions in a batch, which bounds memory


class Reranker:
    """The order of the ranker, changed by re-ranking rules.

    The relevance of a candidate is a function of its position in the ranker's order, in which a cold item may keep its
    position in the retriever's order (`cold_items`); bonuses are added. The items of a list are then selected one by
    one by relevance, selection rules and constraints, and sorted by relevance within each page.

    Args:
      settings: the configured rules.
      catalogue: one row per item: its features and, for the rules that need it, its event count.
      features: the features of items by column.

    Attributes:
      items: the items of the catalogue.
    """

    def __init__(self, settings: Reranking, catalogue: pa.Table, features: dict[str, Feature]):
        self.items = Items(catalogue, features)
        self._configure(settings)

    def with_settings(self, settings: Reranking) -> "Reranker":
        """Return a re-ranker of the same catalogue with other settings; item features are not computed again."""
        changed = copy.copy(self)
        changed._configure(settings)
        return changed

    def _configure(self, settings: Reranking) -> None:
        """Build the rules of `settings`."""
        self.settings = settings
        rules = [each.load()(each, self.items) for _, each in settings.rules()]
        self._bonuses = [rule for rule in rules if isinstance(rule, BonusRule)]
        self._selections = [rule for rule in rules if isinstance(rule, SelectionRule) and rule.weight]
        self._constraints = [rule for rule in rules if isinstance(rule, ConstraintRule)]
        self._is_cold = self.items.event_counts == 0 if settings.cold_items == "retrieved" else None

    def rerank(self, queries: Queries, rows: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Re-rank the candidates of queries.

        Args:
          queries: Q queries, of which rules read the time and the history.
          rows: [Q, C] catalogue rows of the candidates in the retriever's order, -1 for padding; candidates with equal
            scores keep this order.
          scores: [Q, C] the ranker's scores on any scale, -inf for padding.
          k: the number of items to return.
        Returns:
          [Q, min(k, C)] catalogue rows, best first, -1 for padding; and the ranker's scores of these items.
        """
        fixed = None if self._is_cold is None else self._is_cold[rows] & (rows >= 0)
        ranked = order(scores, fixed)
        rows, scores = np.take_along_axis(rows, ranked, axis=1), np.take_along_axis(scores, ranked, axis=1)
        k = min(k, rows.shape[1])
        if not self.settings.rearranges or not rows.size:
            return rows[:, :k], scores[:, :k]
        page_size = self.settings.page_size
        width = min(-(-k // page_size) * page_size, rows.shape[1])  # whole pages: the first positions don't depend on k
        step = max(1, _BATCH_CELLS // (rows.shape[1] * width))
        batches = [np.arange(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
        selected = np.concatenate(
            [self._select(queries.take(batch), rows[batch], scores[batch], width) for batch in batches]
        )[:, :k]
        return np.take_along_axis(rows, selected, axis=1), np.take_along_axis(scores, selected, axis=1)

    def _select(self, queries: Queries, rows: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
        """Return [Q, k] the positions in `rows` of the candidates that are listed, in the order of the list."""
        values = relevance(scores)
        for rule in self._bonuses:
            values += rule.bonus(queries, rows)
        terms = [(rule.weight, rule.term(queries, rows, k)) for rule in self._selections]
        selected, violating = greedy(values, k, terms, [rule.constraint(rows) for rule in self._constraints])
        # Items are sorted within a page only. So that a constraint on the first `top_k` positions holds after sorting,
        # a page also ends at `top_k`, and items that a constraint excludes come last on their page.
        page = np.arange(k) // self.settings.page_size
        page = page + sum(np.arange(k) >= rule.top_k for rule in self._constraints)
        values = np.take_along_axis(values, selected, axis=1)
        last = np.where(np.isfinite(values), violating, 2)
        positions = np.lexsort((-values, last, np.broadcast_to(page, selected.shape)), axis=1)
        return np.take_along_axis(selected, positions, axis=1)
