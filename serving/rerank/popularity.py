"""The rule `popularity`: a penalty for popular items."""

import numpy as np

from core.queries import Queries
from serving.rerank import settings
from serving.rerank.items import Items
from serving.rerank.rule import BonusRule


class Popularity(BonusRule[settings.Popularity]):
    """A penalty of weight · `log_popularity`."""

    def __init__(self, settings: settings.Popularity, items: Items):
        super().__init__(settings, items)
        self._log_popularity = log_popularity(items.event_counts)

    def bonus(self, queries: Queries, rows: np.ndarray) -> np.ndarray:
        """Return [Q, C] the penalty of each candidate, as a negative bonus."""
        return -(self.settings.weight * self._log_popularity[rows])


def log_popularity(event_counts: np.ndarray) -> np.ndarray:
    """Return [N] log(1 + events) divided by that of the most popular item, in [0, 1].

    Source of the logarithm, as the adjustment of a score for the frequency of its class: Menon et al., Long-tail
    learning via logit adjustment (ICLR 2021). Source of re-ranking against popularity: Abdollahpouri, Burke and
    Mobasher, Managing popularity bias in recommender systems with personalized re-ranking (FLAIRS 2019).
    """
    logs = np.log1p(event_counts)
    return logs / max(float(logs.max(initial=0.0)), 1.0)
