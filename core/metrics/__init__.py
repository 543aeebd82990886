"""Metrics of ranked lists over the full catalogue, as functions of arrays.

Three groups, each with one signature:

- `RELEVANCE`: (hits [Q, K] bool, n_relevant [Q], k) → [Q]; did the list hold what the user took?
- `POPULARITY`: (ranked [Q, K], train_counts [n_items], k) → [Q]; how well known is what the list holds?
- `EXPOSURE`: (ranked [Q, K], n_items, k) → one number for all lists together.

`BY_QUERY` has every metric with a value a query, those of the first two groups among them, as (lists, k) → [Q] of one
`Lists`, which holds all that any of them looks at. `METRICS` has all.

The same conventions hold for all of them:

- *Ties*: a list comes in its final order, so ties are the caller's to break; no metric sees a score. Only the AUC knows
  ties: what a list leaves out is tied.
- *Short lists*: a list is padded with -1. To metrics of relevance a missing position, be it padding or k > K, is a
  miss: precision still divides by k. The others look at the items that are there.
- *Nothing relevant*: a query without a relevant item has no value in them: NaN, which every mean leaves out.
- *Duplicates*: an item that stands twice in one list would be credited twice, so `hits` refuses it.

Beside them, with arguments of their own: `probabilities` of scores and labels, `sampled` for the old tables that rank
one right item among sampled wrong ones.
"""

from core.metrics.diversity import intra_list_diversity, personalisation
from core.metrics.exposure import catalogue_coverage, gini, user_coverage
from core.metrics.lists import PADDING, hits, queries_of, unique_pairs
from core.metrics.popularity import average_popularity, novelty, popularity_places, serendipity
from core.metrics.registry import BY_QUERY, EXPOSURE, METRICS, POPULARITY, RELEVANCE, WEIGHTED, Lists, parse
from core.metrics.relevance import auc, average_precision, f1, hit_rate, ndcg, precision, recall, reciprocal_rank

__all__ = [
    "BY_QUERY",
    "EXPOSURE",
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
    "popularity_places",
    "precision",
    "queries_of",
    "recall",
    "reciprocal_rank",
    "serendipity",
    "unique_pairs",
    "user_coverage",
]
