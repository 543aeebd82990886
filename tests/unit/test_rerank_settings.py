"""The settings of re-ranking: the rules, renamed keys, and the weight of diversity."""

from typing import get_args

import pytest
from pydantic import ValidationError

from core import mistakes
from serving.rerank.rule import BonusRule, ConstraintRule, SelectionRule
from serving.rerank.settings import Reranking, RuleSettings


def test_every_configurable_rule_can_be_loaded():
    kinds = (BonusRule, SelectionRule, ConstraintRule)
    by_key = {
        key: each
        for key, field in Reranking.model_fields.items()
        for each in get_args(field.annotation)
        if isinstance(each, type) and issubclass(each, RuleSettings)
    }
    assert set(by_key) == set(Reranking.model_fields) - {"cold_items", "page_size"}
    assert all(issubclass(each.load(), kinds) for each in by_key.values())


@pytest.mark.parametrize(
    ("values", "place", "key"),
    [
        ({"page": 3}, "page", "page_size"),
        ({"cold": "retrieved"}, "cold", "cold_items"),
        ({"mmr": {"likeness": "mean"}}, "mmr.likeness", "similarity"),
        ({"freshness": {"column": "year", "holds": "year"}}, "freshness.holds", "format"),
        ({"caps": [{"column": "brand", "max_items": 1, "first": 3}]}, "caps.0.first", "top_k"),
        ({"caps": [{"column": "brand", "max_items": 1, "most": 1}]}, "caps.0.most", "max_items"),
    ],
)
def test_the_error_of_a_renamed_key_names_the_new_key(values, place, key):
    with pytest.raises(ValidationError) as caught:
        Reranking.model_validate(values)
    [line] = [mistakes.explained(Reranking, error) for error in caught.value.errors()]
    assert line.startswith(f"{place}: ")
    assert f"`{key}`" in line


def test_another_weight_changes_nothing_else():
    nearest = Reranking.model_validate({"mmr": {"similarity": "max"}, "popularity": {}})
    assert nearest.with_diversity(0.5).mmr.model_dump() == {"weight": 0.5, "similarity": "max"}
    assert nearest.with_diversity(0.5).popularity == nearest.popularity
    assert Reranking().with_diversity(0.5).mmr.weight == 0.5
