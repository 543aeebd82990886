"""The queries of eval that are held out to select the ranker, and that no fit of the retriever is validated on.

A setting of the retriever that is chosen on a query makes the retriever's order of this query better than that of
later queries, so that a ranker could not be compared with it there.
"""

import numpy as np
import pyarrow as pa

from core import names
from core.queries import Queries

SHARE = 0.15  # the share of the users whose queries are held out


def held_out(user_ids: pa.ChunkedArray, seed: int, share: float = SHARE) -> np.ndarray:
    """Return [Q] whether each query is held out to select the ranker: all queries of a random share of the users are.

    Args:
      user_ids: [Q] the user of each query.
      seed: the seed of the draw.
      share: the share of the users that is drawn.
    """
    users = user_ids.combine_chunks().dictionary_encode()
    chosen = np.random.default_rng(seed).random(len(users.dictionary)) < share
    return chosen[users.indices.to_numpy()]


def others(queries: Queries, seed: int) -> Queries:
    """Return the queries that are not held out, on which a fit may be validated; all if none has a relevant item."""
    rest = queries.take(np.flatnonzero(~held_out(queries.users[names.USER_ID], seed)))
    return rest if len(rest.relevant_items) else queries
