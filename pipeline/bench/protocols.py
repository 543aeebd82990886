"""The published protocols: data, split, candidates and metrics, and what others reached under them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transform.features import Features


@dataclass(frozen=True)
class Protocol:
    """How models are compared.

    Args:
      name: of the protocol.
      dataset: of `twostep data get`.
      split: `temporal`, `temporal_per_user`, `leave_one_out` or `given` (the column `split`), with eval_share and
        test_share.
      exclude_seen: whether items met before test are left out of the lists and of the right answers.
      metrics: what is printed.
      features: columns the models may use, and how long a history they see.
      published: figure by metric, by who reached it.
      models: model → params, of those run by default.
      said: the protocol in one sentence.
      negatives: how many wrong items, drawn from those that the user never met, the one right item is ranked among;
        None: the catalogue.
    """

    name: str
    dataset: str
    split: str
    exclude_seen: bool
    metrics: tuple[str, ...]
    features: Features
    published: Mapping[str, tuple[float, ...]]
    said: str
    models: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    eval_share: float = 0.1
    test_share: float = 0.1
    negatives: int | None = None


def _defaults(*models: str) -> dict[str, dict[str, Any]]:
    return {model: {} for model in models}


_FILMS = Features.model_validate(
    {
        "user": {"age": {"kind": "numeric", "buckets": 8}, "gender": "categorical", "occupation": "categorical"},
        "item": {"genres": "multi_valued", "year": {"kind": "numeric", "buckets": 8}},
        "history_length": 50,
    }
)
_WITHOUT_RATINGS = ("popularity", "item_knn", "user_knn", "ease", "slim", "graph_filter", "ials", "bpr")

PROTOCOLS = {
    each.name: each
    for each in (
        Protocol(
            name="movielens-100k",
            dataset="movielens-100k",
            split="temporal_per_user",
            exclude_seen=True,
            metrics=("ndcg@10", "recall@100"),
            features=_FILMS,
            published={
                "popularity": (0.0796,),
                "item-kNN": (0.1219,),
                "iALS, 64 factors": (0.1362,),
                "EASE, λ 200": (0.1443,),
            },
            models=_defaults(
                *_WITHOUT_RATINGS,
                *("svd", "svdpp", "pmf", "nmf", "knn_baseline", "content", "fusion", "two_tower"),
            ),
            said="a user's last tenth of ratings is test, by whole seconds (published: within a second too); fitted on "
            "the rest; the catalogue less what the user saw",
        ),
        Protocol(
            name="movielens-100k-leave-one-out",
            dataset="movielens-100k",
            split="leave_one_out",
            exclude_seen=True,
            metrics=("hit_rate@10", "ndcg@10"),
            features=_FILMS,
            published={},
            models=_defaults(*_WITHOUT_RATINGS, "fusion"),
            said="a user's last rating is test; fitted on the rest; the catalogue less what the user saw",
        ),
        Protocol(
            name="movielens-100k-sampled",
            dataset="movielens-100k",
            split="leave_one_out",
            exclude_seen=True,
            metrics=("hit_rate@10", "ndcg@10"),
            features=_FILMS,
            published={},
            models=_defaults(*_WITHOUT_RATINGS, "fusion"),
            negatives=99,
            said="a user's last rating is test, ranked among 99 films that the user never rated; for old tables alone",
        ),
        Protocol(
            name="movielens-small",
            dataset="movielens-small",
            split="temporal_per_user",
            exclude_seen=True,
            metrics=("ndcg@10", "recall@100"),
            features=Features.model_validate(
                {"item": {"genres": "multi_valued", "year": {"kind": "numeric", "buckets": 8}}, "history_length": 50}
            ),
            published={},
            models=_defaults(*_WITHOUT_RATINGS, "content", "fusion", "two_tower"),
            said="a user's last tenth of ratings is test, by whole seconds (published: within a second too); fitted on "
            "the rest; the catalogue less what the user saw",
        ),
        Protocol(
            name="complete-journey",
            dataset="complete-journey",
            split="temporal",
            exclude_seen=False,
            metrics=("ndcg@10", "recall@100"),
            features=Features.model_validate(
                {
                    "item": {
                        "department": "categorical",
                        "brand": "categorical",
                        "product_category": "categorical",
                        "product_type": {"kind": "categorical", "min_count": 5},
                    },
                    "history_length": 2000,
                }
            ),
            published={
                "popularity": (0.181, 0.124),
                "iALS, 128 factors": (0.143, 0.187),
                "the user's own counts": (0.429, 0.257),
            },
            models=_defaults("repeats", "item_knn", "user_knn", "ials", "graph_filter")
            | {
                "popularity": {"window_days": 30.0},  # chosen on eval among null, 7, 30 and 90
                "fusion": {"models": {"repeats": {}, "user_knn": {}, "ials": {}}},
            },
            said="the last tenth of purchases in time is test; repeats allowed; right is what a user bought in test",
        ),
        Protocol(
            name="gowalla",
            dataset="gowalla",
            split="given",
            exclude_seen=True,
            metrics=("recall@20", "ndcg@20"),
            features=Features.model_validate({"history_length": 1000}),
            published={
                "MF-BPR": (0.1627, 0.1378),
                "YouTubeDNN": (0.1754, 0.1473),
                "EASE": (0.1765, 0.1467),
                "LightGCN": (0.1830, 0.1554),
                "UltraGCN": (0.1862, 0.1580),
                "SimpleX": (0.1872, 0.1557),
            },
            models=_defaults("popularity", "graph_filter")
            | {
                # Chosen on a tenth of train; of the weights that ease keeps of an item, the more the nearer to exact.
                "ease": {"l2": 60.0, "neighbours": 10_000},
                "ials": {"factors": 512, "alpha": 60.0, "regularization": 2.0},
                "two_tower": {
                    **{"in_order": False, "history_read": 30, "skip_met": True},
                    **{"dim": 128, "batch_size": 2048, "dropout": 0.3, "epochs": 24, "patience": 4},
                },
            },
            said="LightGCN's split of check-ins; full ranking over the places that a user was not at in train",
        ),
    )
}
