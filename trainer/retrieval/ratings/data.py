"""Events as ratings of users and items. NumPy and Arrow only."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from core.errors import ModelError


@dataclass(frozen=True)
class Ratings:
    """E ratings of U users and N items.

    Args:
      users: [U] ids, in the order of their first rating.
      user_rows: [E] int32, the user of each rating.
      items: [E] int32, the item row of each rating.
      values: [E] float64.
      n_items: N, items without a rating included.
    """

    users: pa.Array
    user_rows: np.ndarray
    items: np.ndarray
    values: np.ndarray
    n_items: int


def ratings_of(users: pa.Array, items: np.ndarray, ratings: np.ndarray | None, n_items: int, model: str) -> Ratings:
    """Return the ratings of events.

    Args:
      users: [E] user ids.
      items: [E] item rows.
      ratings: [E], or None where events have none.
      n_items: N.
      model: the name of the model, for the error.
    Raises:
      ModelError: events have no ratings.
    """
    if ratings is None or not len(ratings):
        raise ModelError(
            f"{model} is fitted on ratings, but the events have none. Give every interaction a `rating`, mapped by "
            "`data.interactions.columns` where the file has another name for it, or choose a model that needs no "
            "ratings, such as ials."
        )
    encoded = users.dictionary_encode()
    return Ratings(encoded.dictionary, encoded.indices.to_numpy(), items, ratings.astype(np.float64), n_items)
