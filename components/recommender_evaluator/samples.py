"""The lists of some test users, and the density of the events. Pure functions."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import metrics, names
from core.queries import Queries

USERS, LATEST, PLACES = 5, 10, 10
_MOST_CHARACTERS = 200  # the maximum length of an id or a title


def sample(
    queries: Queries, rows: np.ndarray, scores: np.ndarray, catalogue: pa.Table, title: str | None, seed: int
) -> list[dict[str, Any]]:
    """Return the lists of at most 5 random users.

    Args:
      queries: Q queries.
      rows: [Q, K] catalogue rows that were recommended, best first, -1 past the last.
      scores: [Q, K] their scores.
      catalogue: the items, with the column of titles.
      title: the name of that column; None to show the ids.
      seed: the seed of the sample.
    Returns:
      One mapping per user: user_id; relevant, the number of relevant items; history, the titles of the latest 10 items,
      latest first; items, the first 10 of the list, each with item_id, title, score and whether it is relevant.
    """
    ids = catalogue[names.ITEM_ID]
    titles = ids if title is None else pc.coalesce(catalogue[title], ids)
    users = queries.users[names.USER_ID].to_numpy()
    _, first = np.unique(users, return_index=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(first)[:USERS])
    drawn, rows, scores = queries.take(chosen), rows[chosen, :PLACES], scores[chosen, :PLACES]
    hits = metrics.hits(rows, drawn.relevant_offsets, drawn.relevant_items, len(catalogue))
    found = []
    for place, user in enumerate(users[chosen].tolist()):
        history = drawn.history[place].as_py()[: -LATEST - 1 : -1]
        known = titles.take(pc.index_in(pa.array(history, pa.string()), ids)).to_pylist()
        filled = rows[place] != metrics.PADDING
        listed = rows[place][filled]
        columns = (ids.take(listed).to_pylist(), titles.take(listed).to_pylist(), scores[place][filled])
        found.append(
            {
                "user_id": _shortened(user),
                "relevant": int(np.diff(drawn.relevant_offsets)[place]),
                "history": [_shortened(text or item) for text, item in zip(known, history, strict=True)],
                "items": [
                    {
                        "item_id": _shortened(item),
                        "title": _shortened(text or item),
                        "score": float(score),
                        "relevant": bool(hit),
                    }
                    for item, text, score, hit in zip(*columns, hits[place][filled], strict=True)
                ],
            }
        )
    return found


def density(users: pa.ChunkedArray, items: np.ndarray, n_items: int) -> dict[str, Any]:
    """Return the density of the matrix of users × items, and the distribution of events over users and over items.

    Args:
      users: [E] the user of each event.
      items: [E] the catalogue row of its item.
      n_items: N, the size of the catalogue.
    Returns:
      events, users and items: their numbers; pairs: the number of distinct (user, item) with an event; filled: the
      share of these in users × items; per_user and per_item: the median and the 95th percentile of the number of
      events. Users without events are not counted, items without events are.
    """
    user = pc.dictionary_encode(users.combine_chunks()).indices.to_numpy().astype(np.int64)
    per_user, per_item = np.bincount(user), np.bincount(items, minlength=n_items)
    pairs = len(np.unique(user * n_items + items))
    return {
        "events": len(items),
        "users": len(per_user),
        "items": n_items,
        "pairs": pairs,
        "filled": pairs / max(len(per_user) * n_items, 1),
        "per_user": _spread(per_user),
        "per_item": _spread(per_item),
    }


def _spread(counts: np.ndarray) -> dict[str, float | None]:
    """Return the median and the 95th percentile."""
    if not len(counts):
        return {"median": None, "p95": None}
    return {"median": float(np.median(counts)), "p95": float(np.percentile(counts, 95))}


def _shortened(text: str) -> str:
    """Return a text of at most `_MOST_CHARACTERS`."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."
