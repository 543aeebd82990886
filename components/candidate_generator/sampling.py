"""The items of the ranker's training lists: candidates, sampled negatives, impressions and missed items."""

import numpy as np

from components.candidate_generator.impressions import Pairs, list_keys
from core.errors import ModelError
from core.membership import is_in
from core.queries import Queries

MISSED_SHARE = 0.1  # the share of a list that is reserved for missed items if their weight is above 0


def training_rows(
    rows: np.ndarray,
    queries: Queries,
    seen: np.ndarray,
    counts: np.ndarray,
    not_chosen: Pairs,
    shares: tuple[float, float, float],
    missed_weight: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the training lists of C items: candidates, then sampled items and impressions, then missed items.

    A sampled item or an impression is left out if it is a candidate, relevant or seen, or in the list already. If there
    are more impressions than positions, a uniform sample is taken, since the most recent impressions depend most on
    what the user chose. If `missed_weight` is above 0, the last positions are reserved for relevant items that are not
    among the kept candidates; with weight 0 these would not change the loss. Every list keeps the same number of
    candidates: if only negatives were replaced, the position of a candidate would reveal its label.

    Args:
      rows: [Q, C] the retriever's catalogue rows, best first, -1 past the last.
      queries: Q queries.
      seen: [Q, S] catalogue rows that may not be returned, -1 for none.
      counts: [N] the number of events of each item.
      not_chosen: the impressions that users did not choose.
      shares: the shares of the list for items drawn by popularity, for items drawn uniformly, and for impressions.
      missed_weight: the weight of a missed item; 0 reserves no positions for them.
      seed: the seed of the samples.
    Returns:
      [Q, C] catalogue rows, -1 for padding; [Q, C] their positions in the retriever's list, NaN for items that are not
      candidates; [Q, C] whether each is a missed item.
    Raises:
      ModelError: no position is left for candidates.
    """
    count, width = rows.shape
    missed_share = MISSED_SHARE if missed_weight > 0 else 0.0
    *drawn, most_shown, most_missed = (round(share * width) for share in (*shares, missed_share))
    kept = width - sum(drawn) - most_shown - most_missed
    if kept < 1:
        raise ModelError(
            f"a list of {width} items has no position left for candidates beside {sum(drawn)} sampled, "
            f"{most_shown} impressions and {most_missed} missed ones. Raise `retrieval.candidates`, or lower the "
            "shares of `ranking.negatives`"
        )
    rng = np.random.default_rng(seed)
    popular = rng.choice(len(counts), (count, drawn[0]), p=counts / max(1, counts.sum())) if drawn[0] else None
    uniform = rng.integers(0, len(counts), (count, drawn[1]))
    sampled = np.concatenate([part for part in (popular, uniform) if part is not None], axis=1).astype(np.int32)
    keys = list_keys(sampled, len(counts))
    _, first = np.unique(keys, return_index=True)
    again = np.ones(keys.size, bool)
    again[first] = False
    retrieved, out = list_keys(rows[:, :kept], len(counts)), list_keys(seen, len(counts))
    taken = np.concatenate([retrieved.ravel(), out.ravel(), _answers(queries, len(counts))])
    unfit = again.reshape(keys.shape) | is_in(keys, taken)
    shown_rows = _shown(not_chosen, np.r_[taken, keys.ravel()], count, most_shown, len(counts), rng)
    missed_rows = _missed(rows[:, :kept], queries, most_missed, len(counts))
    found = np.concatenate([rows[:, :kept], np.where(unfit, -1, sampled), shown_rows, missed_rows], axis=1)
    # Added items have no rank: most are not relevant, and a rank that no candidate has would reveal this.
    ranks = np.full((count, width), np.nan, np.float32)
    ranks[:, :kept] = np.arange(kept)
    missed = np.zeros((count, width), bool)
    missed[:, width - most_missed :] = missed_rows >= 0
    return found, ranks, missed


def _shown(
    not_chosen: Pairs, taken: np.ndarray, count: int, most: int, n_items: int, rng: np.random.Generator
) -> np.ndarray:
    """Return [count, most] catalogue rows of a random sample of each query's impressions, padded with -1.

    Args:
      not_chosen: the impressions that users did not choose.
      taken: the `list_keys` of items that are not drawn, such as those in the list already.
      count: the number of queries.
      most: the maximum number of impressions of a query.
      n_items: the size of the catalogue.
      rng: the random generator.
    """
    free = ~is_in(not_chosen.keys(n_items), taken)
    owners, items = not_chosen.queries[free], not_chosen.items[free]
    order = np.lexsort((rng.random(len(owners)), owners))
    return _first(owners[order], items[order], count, most)


def _missed(retrieved: np.ndarray, queries: Queries, most: int, n_items: int) -> np.ndarray:
    """Return [Q, most] catalogue rows of the relevant items that are not in `retrieved` [Q, C], padded with -1."""
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    absent = ~is_in(_answers(queries, n_items), list_keys(retrieved, n_items))
    return _first(owners[absent], queries.relevant_items[absent], len(queries), most)


def _first(owners: np.ndarray, items: np.ndarray, count: int, most: int) -> np.ndarray:
    """Return [count, most] the first items of each query, padded with -1.

    Args:
      owners: [P] the query of each item, sorted.
      items: [P] catalogue rows.
      count: the number of queries.
      most: the maximum number of items of a query.
    """
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)  # the position among the items of one query
    fits = place < most
    found = np.full((count, most), -1, np.int32)
    found[owners[fits], place[fits]] = items[fits]
    return found


def _answers(queries: Queries, n_items: int) -> np.ndarray:
    """Return the `list_keys` of all relevant items of all queries."""
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    return owners * (n_items + 1) + queries.relevant_items
