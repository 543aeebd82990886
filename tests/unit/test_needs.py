"""What a model needs of the configuration, told before anything runs."""

import pytest

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
    ("name", "params", "features", "told"),
    [
        ("repeats", {}, FEATURES, "`data.exclude_seen: true`"),
        ("content", {}, Features(), "`features.item` is empty"),
        ("popularity", {"segment": "tags"}, FEATURES, "found 'tags', which is a multi_valued feature"),
        ("popularity", {"segment": "brand"}, FEATURES, "found 'brand', which is no feature of users"),
        (
            "fusion",
            {"models": {"ease": {}, "two_tower": {}}, "cold_weight_share": 1},
            Features(),
            "`features.item` is empty",
        ),
        (
            "fusion",
            {"models": {"ease": {}, "ials": {}}, "cold_weight_share": 0.5},
            FEATURES,
            "Add content or two_tower",
        ),
        ("repeats", {"item_feature": "tags"}, FEATURES, "found 'tags', which is "),
        ("fusion", {"models": {"ease": {}, "repeats": {}}}, FEATURES, "repeats recommends items"),
        ("fusion", {"models": {"ease": {}, "content": {}}}, Features(), "content compares items"),
        *((name, {}, FEATURES, f"{name} is fitted on ratings, but the configuration") for name in OF_RATINGS),
        ("fusion", {"models": {"ease": {}, "svd": {}}}, FEATURES, "svd is fitted on ratings"),
    ],
)
def test_what_is_missing_is_told(name, params, features, told):
    with pytest.raises(ValueError, match=told):
        needs.check(name, params, features, exclude_seen=True, ratings=False)


def test_repeats_may_be_recommended_where_they_are_allowed():
    needs.check("repeats", {}, FEATURES, exclude_seen=False, ratings=False)
    needs.check("fusion", {"models": {"ease": {}, "repeats": {}}}, FEATURES, exclude_seen=False, ratings=False)


def test_a_graph_is_of_embeddings():
    needs.check_index("ease", "exact")
    needs.check_index("ials", "hnsw")
    with pytest.raises(
        ValueError, match=r"hnsw is a graph of embeddings, and ease has none\. .*a model that has them: ials, "
    ):
        needs.check_index("ease", "hnsw")
