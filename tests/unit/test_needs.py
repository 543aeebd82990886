"""The checks that a configuration has the features and ratings that a model needs."""

import pytest
from facts import facts

from trainer.retrieval import needs
from transform.features import Features

FEATURES = Features.model_validate(
    {"user": {"city": "categorical", "tags": "multi_valued"}, "item": {"brand": "categorical"}}
)

OF_RATINGS = ("svd", "svdpp", "pmf", "nmf", "knn_baseline")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("content", {}),
        ("popularity", {"segment": "city"}),
        ("fusion", {"models": {"content": {}, "popularity": {"segment": "city"}}}),
        ("svd", {}),
    ],
)
def test_what_has_all_it_needs_passes(name, params):
    needs.check(name, params, FEATURES, exclude_seen=True, ratings=True)


@pytest.mark.parametrize(
    ("name", "params", "features", "message"),
    [
        ("repeats", {}, FEATURES, "repeats … `data.exclude_seen: true`"),
        ("content", {}, Features(), "content … `features.item`"),
        ("popularity", {"segment": "tags"}, FEATURES, "popularity … segment … found 'tags' … multi_valued"),
        ("popularity", {"segment": "brand"}, FEATURES, "popularity … segment … found 'brand' … users"),
        (
            "fusion",
            {"models": {"ease": {}, "two_tower": {}}, "cold_weight_share": 1},
            Features(),
            "fusion … `cold_weight_share` … `features.item`",
        ),
        (
            "fusion",
            {"models": {"ease": {}, "ials": {}}, "cold_weight_share": 0.5},
            FEATURES,
            "`cold_weight_share` … `models` … content or two_tower",
        ),
        ("repeats", {"item_feature": "tags"}, FEATURES, "repeats … item_feature … found 'tags'"),
        ("fusion", {"models": {"ease": {}, "repeats": {}}}, FEATURES, "repeats … `data.exclude_seen: true`"),
        ("fusion", {"models": {"ease": {}, "content": {}}}, Features(), "content … `features.item`"),
        *((name, {}, FEATURES, f"{name} … ratings … `data.interactions.rating_range`") for name in OF_RATINGS),
        ("fusion", {"models": {"ease": {}, "svd": {}}}, FEATURES, "svd … ratings … `data.interactions.rating_range`"),
    ],
)
def test_missing_features_and_ratings_are_an_error(name, params, features, message):
    with pytest.raises(ValueError, match=facts(message)):
        needs.check(name, params, features, exclude_seen=True, ratings=False)


def test_repeats_may_be_recommended_where_they_are_allowed():
    needs.check("repeats", {}, FEATURES, exclude_seen=False, ratings=False)
    needs.check("fusion", {"models": {"ease": {}, "repeats": {}}}, FEATURES, exclude_seen=False, ratings=False)


def test_a_graph_is_of_embeddings():
    needs.check_index("ease", "exact", {})
    needs.check_index("ials", "hnsw", {})
    needs.check_index("fusion", "ivf", {"models": {"ease": {}, "ials": {}}})
    with pytest.raises(ValueError, match=facts("hnsw … ease … `exact` … ials, ")):
        needs.check_index("ease", "hnsw", {})
    with pytest.raises(ValueError, match=facts("ivf … fusion … `exact` … ials, ")):
        needs.check_index("fusion", "ivf", {"models": {"ease": {}, "popularity": {}}})
