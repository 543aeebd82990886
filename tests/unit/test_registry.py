"""The models by name: every one can be found, has settings with meanings, and a wrong name or setting is told."""

import importlib.util

import pytest

from core.settings import Settings
from trainer.ranking.registry import MODELS as RANKING
from trainer.registry import Entry, Registry
from trainer.retrieval.registry import MODELS as RETRIEVAL

EVERY = [(registry, entry) for registry in (RETRIEVAL, RANKING) for entry in registry.entries.values()]


@pytest.mark.parametrize(("registry", "entry"), EVERY, ids=lambda each: getattr(each, "name", ""))
def test_every_model_has_a_module_and_settings_that_explain_themselves(registry, entry):
    assert registry[entry.name] is entry
    assert importlib.util.find_spec(entry.module) is not None  # found, not imported
    assert entry.fit == f"{entry.module}:fit"
    assert issubclass(entry.settings, Settings)
    assert entry.settings.__doc__
    assert all(field.description for field in entry.settings.model_fields.values())
    assert registry.check(entry.name, {}) == entry.settings()


def test_there_are_models_that_can_be_baselines():
    assert {"popularity", "item_knn"} <= {name for name, entry in RETRIEVAL.entries.items() if entry.events_alone}
    assert not RETRIEVAL["two_tower"].events_alone
    assert RETRIEVAL.events_alone("fusion", {"models": {"ease": {}, "often": {"model": "repeats"}}})
    assert not RETRIEVAL.events_alone("fusion", {"models": {"ease": {}, "content": {}}})


def test_what_knows_items_by_their_features():
    knowing = {"content": {}, "two_tower": {}, "kinds": {"model": "repeats", "of": "kind"}}
    for label, params in {**knowing, "ease": {}, "repeats": {}, "svd": {}}.items():
        name = params.get("model", label)
        given = {key: value for key, value in params.items() if key != "model"}
        assert RETRIEVAL.knows_features(name, given) == (label in knowing), label
        assert RETRIEVAL.knows_features("fusion", {"models": {label: params, "ials": {}}}) == (label in knowing)


def test_params_are_checked_and_applied():
    assert RETRIEVAL.check("item_knn", {"neighbours": 7}).neighbours == 7


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("tow_tower", {}, "retrieval model should be one of popularity, item_knn, .*two_tower.*; found 'tow_tower'"),
        (
            "item_knn",
            {"neighbors": 7},
            "retrieval.params of item_knn: neighbors: is no known key. Did you mean `neighbours`. Its settings: neighb",
        ),
        (
            "item_knn",
            {"neighbours": 0},
            "neighbours: should be greater than or equal to 1; found 0. Allowed: at least 1",
        ),
        ("popularity", {"x": 1}, "popularity: x: is no known key. Known keys: window_days, segment.$"),
        ("two_tower", {"dim": "wide", "epochs": 0}, "dim: .*found 'wide'; epochs: .*found 0"),
    ],
)
def test_a_wrong_name_or_setting_is_told(name, params, told):
    with pytest.raises(ValueError, match=told):
        RETRIEVAL.check(name, params)


def test_a_registry_loads_by_path():
    class Nothing(Settings):
        """Nothing."""

    registry = Registry("toy", Entry("join", "os.path:join", Nothing))
    assert registry["join"].load()("a", "b") == "a/b"
    with pytest.raises(ValueError, match="toy model should be one of join; found 'split'"):
        registry["split"]


def test_the_code_behind_a_model_is_also_that_of_its_members():
    assert RETRIEVAL.modules("ease", {}) == ("trainer.retrieval.ease",)
    assert set(RETRIEVAL.modules("fusion", {"models": {"ease": {}, "item_knn": {"neighbours": 5}}})) == {
        "trainer.retrieval.fusion", "trainer.retrieval.ease", "trainer.retrieval.item_knn",
    }  # fmt: skip
