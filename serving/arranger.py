"""The rules of requests, applied to the candidates of an engine. NumPy and Arrow only."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from core.arrow import STRINGS
from core.queries import Candidates, Queries
from serving.arrangement import Arrangement, Limit, Missing
from serving.catalogue import NO_ITEM
from serving.engine import Ranked, TwoStep
from serving.requests import Request
from serving.ruling import Allowed, Ruling, Rulings


@dataclass(frozen=True)
class Ordered:
    """The lists of Q queries without rules.

    Args:
      ranked: the candidates.
      rows, scores: [Q, L] the rows of the lists, -1 for padding, and their scores by the ranker.
    """

    ranked: Ranked
    rows: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Arranged:
    """The list of one query under the rules of its request.

    Args:
      ranked: the candidates of this query alone.
      rows, scores: [L] the rows of the list, -1 for padding, and their scores by the ranker.
    """

    ranked: Ranked
    rows: np.ndarray
    scores: np.ndarray


class Arranger:
    """The rules of requests over a catalogue.

    Args:
      rulings: the values of the items that the caps of releases read.
    """

    def __init__(self, rulings: Rulings):
        self._rulings = rulings

    def extended(
        self, engine: TwoStep, queries: Queries, candidates: Candidates, allowed: Sequence[Allowed]
    ) -> Candidates:
        """Return candidates with pins and the best items of each promotion, in the retriever's order.

        Args:
          engine: the engine.
          queries: Q queries.
          candidates: [Q, C] their candidates.
          allowed: [Q] what they may be answered with.
        """
        if not any(each.ruling for each in allowed):
            return candidates
        more = [list(each.ruling.pinned) for each in allowed]
        for index, rows in self._promoted(engine, queries, allowed):
            present = {*more[index], *candidates.rows[index].tolist()}
            more[index] += [row for row in rows if row not in present]
        if not any(more):
            return candidates
        both = joined(candidates, scored(engine, queries, more, allowed))
        width = max(1, int((both.rows != NO_ITEM).sum(axis=1).max()))
        order = np.argsort(-both.scores, axis=1, kind="stable")[:, :width]
        return Candidates(
            np.take_along_axis(both.rows, order, axis=1),
            np.take_along_axis(both.scores, order, axis=1),
            {name: np.take_along_axis(values, order, axis=1) for name, values in both.signals.items()},
        )

    def _promoted(self, engine: TwoStep, queries: Queries, allowed: Sequence[Allowed]) -> list[tuple[int, list[int]]]:
        """Return the number of a query, and the rows of the best items, for each promotion of each query."""
        most = engine.settings.candidates
        pairs = [(index, each) for index, own in enumerate(allowed) for each in own.ruling.promotions]
        if not pairs:
            return []
        masks = [_both(allowed[index].mask, mask) for index, (_, mask) in pairs]
        wide = [int(np.ceil(share * most)) for _, (share, _) in pairs]
        found = engine.retriever.retrieve(queries.take(np.array([index for index, _ in pairs])), max(wide), masks)
        return [
            (index, [row for row in rows[:width].tolist() if row != NO_ITEM])
            for (index, _), rows, width in zip(pairs, found.rows, wide, strict=True)
        ]

    def width(self, engine: TwoStep, requests: Sequence[Request], rulings: Sequence[Ruling], most: int) -> int:
        """Return how many items of the order of the list are needed, so that the rules can choose."""
        longest = max((request.offset + request.k for request in requests), default=0)
        soft = bool(engine.settings.reranking.caps)
        if any(each.caps or (soft and each) for each in rulings):
            return max(longest, most)
        return longest + max((len(each.pins) for each in rulings), default=0)

    def arranged(
        self, engine: TwoStep, queries: Queries, ordered: Ordered, index: int, request: Request, allowed: Allowed
    ) -> Arranged:
        """Return the list of a request, with further items where its caps leave out too many candidates.

        Args:
          engine: the engine.
          queries: Q queries.
          ordered: their lists without rules.
          index: the number of the query of the request.
          request: the request.
          allowed: what it may be answered with.
        """
        one, rows = np.array([index]), ordered.rows[index]
        ranked = ordered.ranked.take(one)
        if not allowed.ruling:
            return Arranged(ranked, rows, ordered.scores[index])
        arrangement = self._begun(engine, allowed.ruling, ranked.candidates.rows[0], ranked.scores[0], rows)
        if not allowed.ruling.caps:
            arrangement.complete()
        while missing := arrangement.build(request.offset + request.k):
            further = None
            if time.monotonic() < request.until:
                further = self._further(engine, queries.take(one), ranked, allowed, missing)
            if further is None:
                arrangement.end(missing.promotion)
            else:
                start, ranked = ranked.candidates.rows.shape[1], further
                new = best_first(ranked.candidates.rows[0, start:], ranked.scores[0, start:])
                arrangement.add(new, new)
        place = {row: rank for rank, row in enumerate(ranked.candidates.rows[0].tolist())}
        scores = ranked.scores[0, [place[row] for row in arrangement.rows]]
        return Arranged(ranked, np.array(arrangement.rows, np.int32), scores)

    def retrieved(
        self, engine: TwoStep, candidates: Candidates, index: int, request: Request, ruling: Ruling
    ) -> np.ndarray:
        """Return the rows of the list of a request in the retriever's order, made of its candidates alone."""
        rows = candidates.rows[index]
        if not ruling:
            return rows
        arrangement = self._begun(engine, ruling, rows, candidates.scores[index], rows)
        arrangement.complete()
        arrangement.build(request.offset + request.k)
        return np.array(arrangement.rows, np.int32)

    def _begun(
        self, engine: TwoStep, ruling: Ruling, rows: np.ndarray, scores: np.ndarray, order: np.ndarray
    ) -> Arrangement:
        soft = [
            Limit(self._rulings.values(each.column), each.max_items, each.top_k)
            for each in engine.settings.reranking.caps
        ]
        made = Arrangement(dict(ruling.pins), ruling.promotions, ruling.caps, soft, max(1, engine.settings.candidates))
        made.add(order[order != NO_ITEM].tolist(), best_first(rows, scores))
        return made

    def _further(
        self, engine: TwoStep, query: Queries, ranked: Ranked, allowed: Allowed, missing: Missing
    ) -> Ranked | None:
        """Return the candidates with further ones after them, which the caps allow; None if there are none."""
        mask = np.ones(len(engine.catalogue), bool) if allowed.mask is None else allowed.mask.copy()
        known = ranked.candidates.rows[0]
        mask[known[known != NO_ITEM]] = False
        for cap, full in zip(allowed.ruling.caps, missing.full, strict=True):
            mask[cap.values.rows(full)] = False
        if missing.promotion is not None:
            mask &= allowed.ruling.promotions[missing.promotion][1]
        found = engine.retriever.retrieve(query, engine.settings.candidates, [mask]).rows[0]
        found = found[found != NO_ITEM]
        if not len(found):
            return None
        more = scored(engine, query, [found.tolist()], [allowed])
        return engine.rank(query, joined(ranked.candidates, more))


def with_pins(rows: Sequence[int], ruling: Ruling, length: int) -> list[int]:
    """Return a list up to a length with the pins of a request, which are not in `rows`."""
    arrangement = Arrangement(dict(ruling.pins), (), (), (), 1)
    arrangement.add(rows, ())
    arrangement.complete()
    arrangement.build(length)
    return arrangement.rows


def scored(engine: TwoStep, queries: Queries, rows: Sequence[Sequence[int]], allowed: Sequence[Allowed]) -> Candidates:
    """Return given items with the retriever's scores and signals; pins have them whether or not they may be returned.

    Args:
      engine: the engine.
      queries: Q queries.
      rows: [Q] the rows of the items of each.
      allowed: [Q] what each may be answered with.
    """
    masks = [each.mask for each in allowed]
    pinned = [each.ruling.pinned for each in allowed]
    if any(pinned):
        own = [set(engine.catalogue.ids[each]) for each in pinned]
        seen = [[item for item in ids if item not in own[index]] for index, ids in enumerate(queries.seen.to_pylist())]
        queries = replace(queries, seen=pa.array(seen, STRINGS))
        masks = [_with(mask, each) for mask, each in zip(masks, pinned, strict=True)]
    padded = np.full((len(rows), max(1, *map(len, rows))), NO_ITEM, np.int32)
    for index, each in enumerate(rows):
        padded[index, : len(each)] = each
    return engine.retriever.score(queries, padded, masks)


def joined(first: Candidates, second: Candidates) -> Candidates:
    """Return the candidates of the same queries side by side."""
    return Candidates(
        np.concatenate([first.rows, second.rows], axis=1),
        np.concatenate([first.scores, second.scores], axis=1),
        {name: np.concatenate([values, second.signals[name]], axis=1) for name, values in first.signals.items()},
    )


def best_first(rows: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the rows of items by descending score, without padding."""
    order = np.argsort(-scores, kind="stable")
    return [row for row in rows[order].tolist() if row != NO_ITEM]


def _both(mask: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    return other if mask is None else mask & other


def _with(mask: np.ndarray | None, rows: Sequence[int]) -> np.ndarray | None:
    """Return a mask with further rows."""
    if mask is None or not len(rows):
        return mask
    mask = mask.copy()
    mask[list(rows)] = True
    return mask
