"""The rule `freshness`: a bonus for new items."""

import numpy as np

from core.queries import Queries
from core.times import DAY, YEAR
from serving.rerank import settings
from serving.rerank.items import Items
from serving.rerank.rule import BonusRule


class Freshness(BonusRule[settings.Freshness]):
    """A bonus of weight · 2^(-age / half-life), with the age at the time of the query."""

    def __init__(self, settings: settings.Freshness, items: Items):
        super().__init__(settings, items)
        self._values = items.numbers(settings.column)

    def bonus(self, queries: Queries, rows: np.ndarray) -> np.ndarray:
        """Return [Q, C] the bonus of each candidate at the time of its query."""
        chosen = self.settings
        return chosen.weight * freshness(self._values[rows], chosen.format, queries.time, chosen.half_life_days)


def freshness(values: np.ndarray, format: str, times: np.ndarray, half_life_days: float) -> np.ndarray:
    """Return [Q, C] 2^(-age / half-life), in [0, 1]: 1 for an item of age 0, 0 for an unknown age.

    An item dated after the query has age 0.

    Args:
      values: [Q, C] values of the items' column, NaN where it is missing.
      format: `timestamp` (seconds since 1970-01-01 UTC), `year` (a calendar year) or `age_days`.
      times: [Q] timestamps of the queries, in seconds since 1970-01-01 UTC.
      half_life_days: the age in days at which the result is halved.
    """
    query_times = times[:, None].astype(np.float64)
    if format == "timestamp":
        days = (query_times - values) / DAY
    elif format == "year":
        days = (1970 + query_times / YEAR - values) * (YEAR / DAY)
    else:
        days = values
    return np.nan_to_num(np.exp2(-np.maximum(days, 0.0) / half_life_days))
