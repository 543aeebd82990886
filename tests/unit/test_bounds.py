"""Every number that a configuration can set has an upper bound, and an error names it."""

import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from core.errors import UsageError
from core.settings import allowed_range
from pipeline import config
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval.registry import MODELS as RETRIEVAL

# Thresholds of metrics and ratings: no resource grows with them.
UNBOUNDED = {
    "Rule.at_least",
    "Rule.at_most",
    "Rule.change_at_least",
    "Rule.relative_change_at_least",
    "BigQuery.parameters",
    "Interactions.rating_range",
    "Spans.first",
    "Spans.last",
}


def numbers(model: type[BaseModel], seen: set[type]) -> list[tuple[str, str]]:
    """Return `Model.field` and the bounds of each number in a settings model and the models nested in it."""
    if model in seen:
        return []
    seen.add(model)
    found = []
    for name, field in model.model_fields.items():
        found += below(field.annotation, field.metadata, f"{model.__name__}.{name}", seen)
    return found


def below(annotation: Any, metadata: Any, place: str, seen: set[type]) -> list[tuple[str, str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return numbers(annotation, seen)
    if annotation in (int, float):
        return [(place, allowed_range(metadata))]
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return below(inner, more, place, seen)
    parts = get_args(annotation)
    kept = metadata if get_origin(annotation) in (Union, UnionType) else ()
    return [each for part in parts for each in below(part, kept, place, seen)]


def every_number() -> list[tuple[str, str]]:
    seen: set[type] = set()
    models = [entry.settings for registry in (RETRIEVAL, RANKING) for entry in registry.entries.values()]
    return [each for model in (config.Config, *models) for each in numbers(model, seen)]


def test_every_number_has_an_upper_bound():
    found = every_number()
    assert len(found) > 100
    assert {"Retrieval.candidates", "TwoTowerSettings.hidden", "Text.max_words", "TreesSettings.trees"} <= {
        place for place, _ in found
    }
    assert sorted({place for place, bounds in found if not re.search("at most|below", bounds)}) == sorted(UNBOUNDED)


def test_what_a_search_tries_is_within_the_bounds():
    for registry in (RETRIEVAL, RANKING):
        for entry in registry.entries.values():
            for name, field in entry.settings.model_fields.items():
                search = (field.json_schema_extra or {}).get("search")
                for value in (search and (search.get("choices") or (search["low"], search["high"]))) or ():
                    if registry is RETRIEVAL and name == "low":
                        continue
                    entry.settings.model_validate({name: int(value) if field.annotation is int else value})


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"retrieval": {"candidates": 10**9}}, ("retrieval.candidates: ", "1000000000", "at least 1, at most 10,000")),
        (
            {"retrieval": {"params": {"dim": 10**9}}},
            ("retrieval.params of two_tower: dim: ", "1000000000", "at least 2, at most 4096"),
        ),
        (
            {"retrieval": {"params": {"hidden": [10**9]}}},
            ("two_tower: hidden.0: ", "1000000000", "at least 1, at most 16,384"),
        ),
        ({"ranking": {"params": {"epochs": 10**9}}}, ("dcn: epochs: ", "at most 10,000")),
        ({"features": {"history_length": 10**9}}, ("features.history_length: ", "at most 10,000")),
        (
            {"features": {"item": {"tags": {"kind": "multi_valued", "max_values": 10**9}}}},
            ("features.item.tags.max_values: ", "at most 1000"),
        ),
        ({"evaluation": {"at": [10, 10**9]}}, ("evaluation.at.1: ", "at most 10,000")),
        ({"retrieval": {"candidates": 10**400}}, ("retrieval.candidates: ",)),
        ({"name": "x" * 101}, ("name: ", "100")),
        ({"release": {"folder": "../elsewhere"}}, ("release.folder: ", "'../elsewhere'")),
        ({"release": {"folder": "/tmp/elsewhere"}}, ("release.folder: ", "'/tmp/elsewhere'")),
    ],
)
def test_a_number_out_of_bounds_is_named_with_its_key_and_range(tmp_path, values, parts):
    file = tmp_path / "x.yaml"
    file.write_text(str({"name": "x", "data": {"root": "."}} | values))  # the text of a dict is YAML in flow style
    with pytest.raises(UsageError) as caught:
        config.load(file)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert len(message) < 1500
