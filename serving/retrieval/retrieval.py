"""Retrieval of candidates from the tables of a model: the lists of its parts, and their fusion."""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.queries import Candidates
from serving.catalogue import NO_ITEM
from serving.retrieval import parts
from serving.retrieval.added import AddedPart
from serving.retrieval.ordering import ordered, top
from serving.retrieval.scored import Scored, Selection, first
from trainer.registry import rank_signal, score_signal
from trainer.retrieval import plan


@dataclass(frozen=True)
class Prepared:
    """B queries as rows of the catalogue.

    Args:
      histories: [B] the rows of the known items of each history, oldest first.
      asked: label → what the model answers for the part, [B, …].
      selections: [B] the items that each query may return.
    """

    histories: Sequence[np.ndarray]
    asked: Mapping[str, np.ndarray]
    selections: Sequence[Selection]

    def __len__(self) -> int:
        return len(self.histories)


class Retrieval:
    """A retrieval model as tables.

    A fusion takes the lists of its parts, each of `depth` items, and computes the scores of their items alone, so its
    cost does not grow with the catalogue. An item in no list has a score below those of all others of positive weight.

    Args:
      described: the plan of the model.
      tables: the tables that the plan names.
      indexes: label → the index of faiss over the embeddings of that part; parts without one are searched exactly.
    """

    def __init__(
        self, described: plan.RetrievalPlan, tables: Mapping[str, np.ndarray], indexes: Mapping[str, Any] | None = None
    ):
        self.plan, indexes = described, indexes or {}
        self._parts: dict[str, parts.Part] = {
            label: parts.of_plan(each, own_tables(tables, label), indexes.get(label))
            for label, each in described.parts.items()
        }
        self._fusion = None if described.fusion is None else _Fusion(described.fusion, tables)

    def with_items(self, n_items: int, count: int, embeddings: Mapping[str, np.ndarray]) -> "Retrieval":
        """Return the retrieval with items that were added after the model was fitted, whose rows follow.

        Args:
          n_items: the number of items of the model.
          count: the number of added items, M.
          embeddings: label → their embeddings, [M, D], by each part that has them.
        """
        other = copy.copy(self)
        other._parts = {
            label: AddedPart(part, n_items, count, embeddings.get(label)) for label, part in self._parts.items()
        }
        other._fusion = None if self._fusion is None else self._fusion.with_items(count)
        return other

    @property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Return label → the embeddings of the items, [N, D], of each part that has them."""
        return {label: part.embeddings for label, part in self._parts.items() if isinstance(part, parts.EmbeddingPart)}

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the names of the signals, sorted."""
        labels = () if self._fusion is None else self.plan.parts
        return tuple(sorted(signal(label) for label in labels for signal in (score_signal, rank_signal)))

    def retrieve(self, queries: Prepared, width: int) -> Candidates:
        """Return the best items of B queries in lists of `width` items, which are padded where there are fewer."""
        found = Candidates(
            np.full((len(queries), width), NO_ITEM, np.int32),
            np.full((len(queries), width), -np.inf, np.float32),
            {name: np.full((len(queries), width), np.nan, np.float32) for name in self.signals},
        )
        for index, (scored, selection) in enumerate(self._scored(queries)):
            if self._fusion is None:
                [only] = scored.values()
                rows = only.best(width, selection)
                scores, signals = only.at(rows), {}
            else:
                lists = self._fusion.lists(scored, selection)
                rows, scores = self._fusion.best(lists, selection, width)
                signals = self._fusion.signals(scored, lists, rows)
            found.rows[index, : len(rows)] = rows
            found.scores[index, : len(rows)] = scores
            for name, values in signals.items():
                found.signals[name][index, : len(rows)] = values
        return found

    def score(self, queries: Prepared, rows: np.ndarray) -> Candidates:
        """Return the scores and signals of given items, -inf for those that a query may not return.

        Args:
          queries: B queries.
          rows: [B, C] catalogue rows, -1 for none.
        """
        scores = np.empty(rows.shape, np.float32)
        columns = {name: np.empty(rows.shape, np.float32) for name in self.signals}
        for index, (scored, selection) in enumerate(self._scored(queries)):
            own = np.maximum(rows[index], 0)
            if self._fusion is None:
                [only] = scored.values()
                values, signals = only.at(own), {}
            else:
                lists = self._fusion.lists(scored, selection)
                values, signals = self._fusion.at(lists, own), self._fusion.signals(scored, lists, own)
            scores[index] = np.where((rows[index] >= 0) & selection.allowed[own], values, -np.inf)
            for name, column in signals.items():
                columns[name][index] = column
        return Candidates(rows, scores, columns)

    def lists(self, queries: Prepared, labels: Collection[str], width: int) -> dict[str, np.ndarray]:
        """Return label → the rows of the best items by that part alone, [B, width], -1 for padding."""
        found = {label: np.full((len(queries), width), NO_ITEM, np.int32) for label in labels}
        for index, (scored, selection) in enumerate(self._scored(queries)):
            for label, lists in found.items():
                rows = scored[label].best(width, selection)
                lists[index, : len(rows)] = rows
        return found

    def fused(self, lists: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the scores of all items by a fusion, [N], from label → the rows of the best items, best first."""
        if self._fusion is None:
            raise ValueError("a model without members fuses nothing")
        return self._fusion.at(lists, np.arange(self._fusion.n_items))

    def fused_alike(self, lists: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the scores as `fused`, but with the weights of a cold item for all items."""
        if self._fusion is None:
            raise ValueError("a model without members fuses nothing")
        return self._fusion.alike(lists)

    def _scored(self, queries: Prepared) -> Iterator[tuple[dict[str, Scored], Selection]]:
        """Yield, for each query, label → the scores by that part; and the items that it may return."""
        nothing: np.ndarray = np.zeros((len(queries), 0), np.float32)
        by_part = [
            part.score(queries.histories, queries.asked.get(label, nothing)) for label, part in self._parts.items()
        ]
        for selection, *of_query in zip(queries.selections, *by_part, strict=True):
            yield dict(zip(self._parts, of_query, strict=True)), selection


class _Fusion:
    """Reciprocal rank fusion of lists; see `trainer.retrieval.fusion.model`."""

    def __init__(self, described: plan.Fusion, tables: Mapping[str, np.ndarray]):
        self._described = described
        self._ties, self._by_popularity = tables["ties"], ordered(tables["ties"]).astype(np.int32)
        self._take(tables["received"], tables["share"])
        ranks = np.arange(described.depth, dtype=np.float32)
        self._by_rank = 1 / (np.float32(described.rank_constant) + 1 + ranks)

    def _take(self, received: np.ndarray, share: np.ndarray) -> None:
        """Take the weights of members for each item."""
        self._received, self._share = received, share
        self._cold = bool((share != 1).any())  # whether the weight of a member depends on the item

    def with_items(self, count: int) -> "_Fusion":
        """Return the fusion of the items and of others without events, which follow."""
        other, described = copy.copy(self), self._described
        other._ties = np.concatenate([self._ties, np.zeros(count, self._ties.dtype)])
        last = np.arange(self.n_items, other.n_items, dtype=np.int32)
        other._by_popularity = np.concatenate([self._by_popularity, last])
        received = np.full(count, self._received_by_cold(), np.float32)
        share = np.full(count, 1 - described.cold_share, np.float32)
        other._take(np.concatenate([self._received, received]), np.concatenate([self._share, share]))
        return other

    def _received_by_cold(self) -> float:
        """Return the weight that each member by features gets from the others for a cold item."""
        known = self._described.by_features
        by_events = sum(weight for label, weight in self._described.weights.items() if label not in known)
        return self._described.cold_share * by_events / max(1, len(known))

    @property
    def n_items(self) -> int:
        return len(self._ties)

    def lists(self, scored: Mapping[str, Scored], selection: Selection) -> dict[str, np.ndarray]:
        """Return label → the rows of the best items, best first."""
        return {label: each.best(self._described.depth, selection) for label, each in scored.items()}

    def best(self, lists: Mapping[str, np.ndarray], selection: Selection, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and scores of the k best items."""
        rows = selection.few
        if rows is None:
            listed = np.zeros(len(selection.allowed), bool)
            for each in lists.values():
                listed[each] = True
            others = first(self._by_popularity, selection.allowed & ~listed, k)
            rows = np.sort(np.concatenate([np.flatnonzero(listed), others]))
        scores = self.at(lists, rows)
        order = top(scores, k)
        return rows[order].astype(np.int32), scores[order]

    def at(self, lists: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return the scores of the items at rows [C]."""
        fused = np.zeros(len(self._ties), np.float32)
        for label, listed in lists.items():
            weight: Any = np.float32(self._described.weights[label])
            if self._cold and label in self._described.by_features:
                weight = weight + self._received[listed]
            elif self._cold:
                weight = weight * self._share[listed]
            fused[listed] += weight * self._by_rank[: len(listed)]
        return self._ties[rows] + fused[rows]

    def alike(self, lists: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the scores of all items, [N], with the weights of a cold item for each of them."""
        fused = np.zeros(len(self._ties), np.float32)
        for label, listed in lists.items():
            known = label in self._described.by_features
            weight = self._described.weights[label] + (self._received_by_cold() if known else 0.0)
            fused[listed] += np.float32(weight) * self._by_rank[: len(listed)]
        return self._ties + fused

    def signals(
        self, scored: Mapping[str, Scored], lists: Mapping[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the score and the rank of the items at rows [C] by each part."""
        found = {}
        depth = self._described.depth
        ranks: np.ndarray = np.zeros(len(self._ties), np.int32)  # 1 + rank; 0 for an item that is not in the list
        for label, listed in lists.items():
            ranks[listed] = np.arange(1, len(listed) + 1)
            own = ranks[rows]
            found[score_signal(label)] = scored[label].at(rows)
            found[rank_signal(label)] = np.where(own > 0, own - 1, depth).astype(np.float32)
            ranks[listed] = 0
        return found


def own_tables(tables: Mapping[str, np.ndarray], label: str) -> dict[str, np.ndarray]:
    """Return the tables of a part by their names in the plan."""
    end = plan.named("", label)
    return {name.removesuffix(end): table for name, table in tables.items() if name.endswith(end)}
