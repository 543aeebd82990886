"""Metrics of ranked lists over the full catalogue, as functions of arrays.

Three groups, each with one signature:

- `RELEVANCE`: (hits [Q, K] bool, n_relevant [Q], k) → [Q]; whether the lists hold relevant items.
- `POPULARITY`: (ranked [Q, K], train_counts [n_items], k) → [Q]; how popular the listed items are.
- `AGGREGATE`: (ranked [Q, K], n_items, k) → one number for all lists together.

`BY_QUERY` has every metric with a value per query, those of the first two groups among them, as a function (lists, k) →
[Q] of `Lists`, which holds the arguments of all metrics. `METRICS` has all metrics.

Conventions of all metrics:

- *Ties*: a list comes in its final order; no metric sees a score. For AUC alone, items that are not listed are tied.
- *Short lists*: a list is padded with -1. Metrics of relevance count a missing position, padding or k > K, as a miss:
  precision still divides by k. Other metrics are computed over the listed items.
- *Nothing relevant*: the value of a query without a relevant item is NaN, which every mean leaves out.
- *Duplicates*: `hits` refuses a list with an item twice, which would be counted twice.

Metrics with other arguments are in `probabilities` (scores and labels) and `sampled` (protocols that rank one relevant
item among sampled negatives).
"""

from core.metrics.coverage import catalogue_coverage, gini, user_coverage
from core.metrics.diversity import intra_list_diversity, personalisation
from core.metrics.lists import PADDING, hits, queries_of, unique_pairs
from core.metrics.popularity import average_popularity, novelty, popularity_ranks, serendipity
from core.metrics.registry import AGGREGATE, BY_QUERY, METRICS, POPULARITY, RELEVANCE, WEIGHTED, Lists, parse
from core.metrics.relevance import auc, average_precision, f1, hit_rate, ndcg, precision, recall, reciprocal_rank

__all__ = [
    "AGGREGATE",
    "BY_QUERY",
    "METRICS",
    "PADDING",
    "POPULARITY",
    "RELEVANCE",
    "WEIGHTED",
    "Lists",
    "auc",
    "average_popularity",
    "average_precision",
    "catalogue_coverage",
    "f1",
    "gini",
    "hit_rate",
    "hits",
    "intra_list_diversity",
    "ndcg",
    "novelty",
    "parse",
    "personalisation",
    "popularity_ranks",
    "precision",
    "queries_of",
    "recall",
    "reciprocal_rank",
    "serendipity",
    "unique_pairs",
    "user_coverage",
]
