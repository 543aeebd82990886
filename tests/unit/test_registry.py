"""The registries of models: each module exists, each setting has a description, and errors of wrong names."""

import importlib.util

import pytest
from facts import facts

from core.settings import Settings
from trainer.ranking.registry import MODELS as RANKING
from trainer.registry import EVENTS, FEATURES, ITEM_FEATURES, RATINGS, REPEATED_ITEMS, Entry, Registry
from trainer.retrieval.registry import MODELS as RETRIEVAL

EVERY = [(registry, entry) for registry in (RETRIEVAL, RANKING) for entry in registry.entries.values()]


@pytest.mark.parametrize(("registry", "entry"), EVERY, ids=lambda each: getattr(each, "name", ""))
def test_every_model_has_a_module_and_settings_that_explain_themselves(registry, entry):
    assert registry[entry.name] is entry
    assert importlib.util.find_spec(entry.module) is not None  # checks that the module exists without importing it
    assert entry.fit.partition(":")[2]
    assert {EVENTS, RATINGS} & set(entry.learns_from)
    assert set(entry.learns_from) <= {EVENTS, FEATURES, RATINGS}
    assert set(entry.requires) <= {ITEM_FEATURES, REPEATED_ITEMS}
    assert issubclass(entry.settings, Settings)
    assert entry.settings.__doc__
    assert all(field.description for field in entry.settings.model_fields.values())
    assert registry.check(entry.name, {}) == entry.settings()


def test_there_are_models_that_can_be_baselines():
    assert {"popularity", "item_knn"} <= {name for name in RETRIEVAL.entries if RETRIEVAL.events_alone(name, {})}
    assert not RETRIEVAL.events_alone("two_tower", {})
    assert RETRIEVAL.events_alone("fusion", {"models": {"ease": {}, "often": {"model": "repeats"}}})
    assert not RETRIEVAL.events_alone("fusion", {"models": {"ease": {}, "content": {}}})


def test_models_that_score_items_by_their_features():
    by_features = {"content": {}, "two_tower": {}, "kinds": {"model": "repeats", "item_feature": "kind"}}
    for label, params in {**by_features, "ease": {}, "repeats": {}, "svd": {}}.items():
        name = params.get("model", label)
        given = {key: value for key, value in params.items() if key != "model"}
        assert RETRIEVAL.scores_by_features(name, given) == (label in by_features), label
        assert RETRIEVAL.scores_by_features("fusion", {"models": {label: params, "ials": {}}}) == (label in by_features)


def test_params_are_checked_and_applied():
    assert RETRIEVAL.check("item_knn", {"neighbours": 7}).neighbours == 7


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("tow_tower", {}, "retrieval … popularity, item_knn, … two_tower … found 'tow_tower'"),
        (
            "item_knn",
            {"neighbors": 7},
            "retrieval.params of item_knn: neighbors: … `neighbours` … : neighbours, ",
        ),
        (
            "item_knn",
            {"neighbours": 0},
            "retrieval.params of item_knn: neighbours: … found 0 … at least 1",
        ),
        ("popularity", {"x": 1}, "retrieval.params of popularity: x: … window_days, segment"),
        ("two_tower", {"dim": "wide", "epochs": 0}, "dim: … found 'wide' … epochs: … found 0"),
    ],
)
def test_a_wrong_name_or_setting_is_an_error(name, params, message):
    with pytest.raises(ValueError, match=facts(message)):
        RETRIEVAL.check(name, params)


RENAMED = [
    (RETRIEVAL, "repeats", {"aged": "decay", "of": "item_feature"}),
    (RETRIEVAL, "graph_filter", {"patterns": "singular_vectors", "strength": "alpha"}),
    (RETRIEVAL, "fusion", {"learned": "learn_weights", "k0": "rank_constant", "cold": "cold_weight_share"}),
    (
        RETRIEVAL,
        "two_tower",
        {"history_read": "max_history", "in_order": "causal_history", "skip_met": "exclude_positives"},
    ),
    (RANKING, "mmoe", {"rating_loss": "rating_loss_weight", "rating_in_score": "rating_score_weight"}),
    (RANKING, "trees", {"inputs": "feature_fraction"}),
]


@pytest.mark.parametrize(("registry", "name", "renamed"), RENAMED)
def test_the_error_of_a_renamed_setting_names_the_new_one(registry, name, renamed):
    assert renamed == registry[name].settings.RENAMED
    assert set(renamed.values()) <= set(registry[name].settings.model_fields)
    for old, new in renamed.items():
        with pytest.raises(ValueError, match=rf"{registry.step}\.params of {name}: {old}: .*`{new}`"):
            registry.check(name, {old: 1})


def test_a_registry_loads_by_path():
    class Nothing(Settings):
        """Settings without a field."""

    registry = Registry("toy", Entry("join", "os.path:join", Nothing, {EVENTS}))
    assert registry["join"].load()("a", "b") == "a/b"
    with pytest.raises(ValueError, match=facts("toy … join … found 'split'")):
        registry["split"]


def test_the_code_behind_a_model_is_also_that_of_its_members():
    assert RETRIEVAL.modules("ease", {}) == ("trainer.retrieval.linear.ease",)
    assert set(RETRIEVAL.modules("fusion", {"models": {"ease": {}, "item_knn": {"neighbours": 5}}})) == {
        "trainer.retrieval.fusion.model", "trainer.retrieval.linear.ease", "trainer.retrieval.neighbours.item_knn",
    }  # fmt: skip
