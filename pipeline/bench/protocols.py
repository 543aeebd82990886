"""Published protocols: data, split, candidates, metrics and published values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transform.features import Features


@dataclass(frozen=True)
class Protocol:
    """A protocol for the comparison of models.

    Args:
      name: the name, an argument of `twostep bench`.
      dataset: the name of a dataset, an argument of `twostep data get`.
      split: the split method: `temporal`, `temporal_per_user`, `leave_one_out`, or `given` by the column `split`.
      exclude_seen: whether seen items are excluded from the lists and from the relevant items.
      metrics: the metrics that are printed; the table is sorted by the first.
      features: the columns that the models may use, and the length of the history.
      published: published model → its values, in the order of `metrics`; may be fewer.
      models: registered model → params, for the models that run by default.
      description: one sentence on the protocol.
      eval_share, test_share: the shares of the events in eval and test, for temporal splits.
      negatives: the number of sampled negatives among which the relevant item is ranked; None to rank the catalogue.
    """

    name: str
    dataset: str
    split: str
    exclude_seen: bool
    metrics: tuple[str, ...]
    features: Features
    published: Mapping[str, tuple[float, ...]]
    description: str
    models: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    eval_share: float = 0.1
    test_share: float = 0.1
    negatives: int | None = None


def _defaults(*models: str) -> dict[str, dict[str, Any]]:
    """Return model → empty params, so that each model runs with its default settings."""
    return {model: {} for model in models}


_FILMS = Features.model_validate(
    {
        "user": {"age": {"kind": "numeric", "buckets": 8}, "gender": "categorical", "occupation": "categorical"},
        "item": {"genres": "multi_valued", "year": {"kind": "numeric", "buckets": 8}},
        "history_length": 50,
    }
)
_WITHOUT_RATINGS = (
    *("popularity", "item_knn", "co_visitation", "user_knn", "ease", "slim", "slit", "graph_filter"),
    *("ials", "bpr"),
)

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
            description="test: each user's last tenth of ratings, with ratings of one second never divided, unlike in "
            "the published split; fitted on the rest; seen items excluded",
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
            description="test: each user's last rating; fitted on the rest; seen items excluded",
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
            description="test: each user's last rating, ranked among 99 films that the user did not rate",
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
            description="test: each user's last tenth of ratings, with ratings of one second never divided; fitted on "
            "the rest; seen items excluded",
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
                "popularity": {"window_days": 30.0},  # the best of null, 7, 30 and 90 on eval
                "fusion": {"models": {"repeats": {}, "user_knn": {}, "ials": {}}},
            },
            description="test: the last tenth of purchases in time; relevant: the items bought in it; repeats allowed",
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
                # The settings were chosen on a tenth of train. `neighbours`, the number of weights that EASE keeps per
                # item, is large because the exact model keeps all.
                "ease": {"l2": 60.0, "neighbours": 10_000},
                "ials": {"factors": 512, "alpha": 60.0, "regularization": 2.0},
                "two_tower": {
                    **{"causal_history": False, "max_history": 30, "exclude_positives": True},
                    **{"dim": 128, "batch_size": 2048, "dropout": 0.3, "epochs": 24, "patience": 4},
                },
            },
            description="LightGCN's split of check-ins; all places are ranked, except the user's places in train",
        ),
    )
}
