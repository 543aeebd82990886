"""Which items a ranker learns from: the retriever's near misses, other negatives, and what the retriever missed."""

import numpy as np

from components.candidate_generator.exposures import Pairs, list_keys
from core.errors import ModelError
from core.queries import Queries

MISSED_SHARE = 0.1  # of a list's places, for relevant items that the retriever missed, where these have a weight


def learning_rows(
    rows: np.ndarray,
    queries: Queries,
    seen: np.ndarray,
    counts: np.ndarray,
    exposed: Pairs,
    shares: tuple[float, float, float],
    missed_weight: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists of C candidates to learn from: the retriever's first, then sampled and exposed items, then what it missed.

    A sampled item that is retrieved, right, seen or drawn before is left out, and so is an exposed one. Of more exposed
    items than places some are drawn, all alike: what was shown last follows most from what was chosen by then. Where
    missed items have a weight, the last places belong to right answers that are not in the list by then, as many as
    fit; without one they would take places and teach nothing. How many of the retriever's stay is
    the same for every list: were it only its wrong ones that gave way, to stand far down would tell the answer.

    Args:
      rows: [Q, C] the retriever's catalogue rows, best first, -1 past the last.
      queries: Q queries.
      seen: [Q, S] catalogue rows that may not be returned, -1 for none.
      counts: [N] events of each item.
      exposed: what the users were shown and did not choose.
      shares: of the list that is drawn by popularity, drawn uniformly, and for exposed items.
      missed_weight: the weight of a missed right answer; 0 reserves no places for these.
      seed: of what is drawn.
    Returns:
      [Q, C] catalogue rows, -1 for padding; [Q, C] their ranks, NaN in the places of what was not retrieved; [Q, C]
      whether each is a right answer that is not among the retriever's places.
    Raises:
      ModelError: no place is left for the retriever's.
    """
    count, width = rows.shape
    missed_share = MISSED_SHARE if missed_weight > 0 else 0.0
    *drawn, most_shown, most_missed = (round(share * width) for share in (*shares, missed_share))
    kept = width - sum(drawn) - most_shown - most_missed
    if kept < 1:
        raise ModelError(
            f"a list of {width} candidates has no place left for the retriever's own beside {sum(drawn)} sampled, "
            f"{most_shown} exposed and {most_missed} missed ones. Raise `retrieval.candidates`, or lower the shares of "
            "`ranking.negatives`"
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
    unfit = again.reshape(keys.shape) | np.isin(keys, taken)
    shown_rows = _shown(exposed, np.r_[taken, keys.ravel()], count, most_shown, len(counts), rng)
    missed_rows = _missed(rows[:, :kept], queries, most_missed, len(counts))
    found = np.concatenate([rows[:, :kept], np.where(unfit, -1, sampled), shown_rows, missed_rows], axis=1)
    # No rank of their own either: one that only they have would tell that they are mostly wrong.
    ranks = np.full((count, width), np.nan, np.float32)
    ranks[:, :kept] = np.arange(kept)
    missed = np.zeros((count, width), bool)
    missed[:, width - most_missed :] = missed_rows >= 0
    return found, ranks, missed


def _shown(
    exposed: Pairs, taken: np.ndarray, count: int, most: int, n_items: int, rng: np.random.Generator
) -> np.ndarray:
    """[count, most] catalogue rows of exposed items that are not taken, drawn; -1 past the last."""
    free = ~np.isin(exposed.keys(n_items), taken)
    owners, items = exposed.queries[free], exposed.items[free]
    order = np.lexsort((rng.random(len(owners)), owners))
    return _first(owners[order], items[order], count, most)


def _missed(retrieved: np.ndarray, queries: Queries, most: int, n_items: int) -> np.ndarray:
    """[Q, most] catalogue rows of right answers that were not retrieved, -1 past the last."""
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    absent = ~np.isin(_answers(queries, n_items), list_keys(retrieved, n_items))
    return _first(owners[absent], queries.relevant_items[absent], len(queries), most)


def _first(owners: np.ndarray, items: np.ndarray, count: int, most: int) -> np.ndarray:
    """[count, most] the first items of each owner, -1 past the last; owners are sorted."""
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)  # of an owner's, the first is 0
    fits = place < most
    found = np.full((count, most), -1, np.int32)
    found[owners[fits], place[fits]] = items[fits]
    return found


def _answers(queries: Queries, n_items: int) -> np.ndarray:
    """The numbers, as of `list_keys`, of the right answers."""
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.relevant_offsets))
    return owners * (n_items + 1) + queries.relevant_items
