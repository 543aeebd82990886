"""The search space, the records of trials, and the tuned configuration; tests/contract has the search itself."""

import textwrap
from typing import Literal

import pytest
import yaml
from facts import facts
from pydantic import Field

from core.settings import Settings
from pipeline.config.tuned_file import with_params
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval.registry import MODELS as RETRIEVAL
from trainer.step_settings import RetrievalStepSettings, TunerSettings
from trainer.tuning import space
from trainer.tuning.records import Records, Trial, trials_folder
from trainer.tuning.space import Choices, Range, among, between


class Model(Settings):
    """The settings of a model, with one setting of each type."""

    size: int = Field(8, ge=1, json_schema_extra=between(4, 64, log=True))
    rate: float = Field(0.1, gt=0, json_schema_extra=between(0.01, 1, log=True))
    share: float = Field(0.0, ge=0, lt=1, json_schema_extra=between(0, 0.5))
    layers: tuple[int, ...] = Field((), json_schema_extra=among((), (64,)))
    window: float | None = Field(None, json_schema_extra=among(None, 7.0))
    kind: Literal["a", "b"] = "a"


# ---- the space ----


def test_a_setting_is_searched_as_declared_and_others_are_left():
    found = space.resolve(Model(), {})
    assert found == {
        "size": Range(low=4, high=64, log=True),
        "rate": Range(low=0.01, high=1, log=True),
        "share": Range(low=0, high=0.5),
        "layers": Choices(choices=([], [64])),
        "window": Choices(choices=(None, 7.0)),
    }


def test_what_is_configured_is_part_of_the_space():
    found = space.resolve(Model(size=100, rate=0.001, layers=(1, 2), window=3.0), {})
    assert (found["size"].low, found["size"].high) == (4, 100)
    assert (found["rate"].low, found["rate"].high) == (0.001, 1)
    assert found["layers"].choices == ([1, 2], [], [64])
    assert found["window"].choices == (3.0, None, 7.0)


def test_what_is_declared_can_be_changed_and_left_out():
    changes = {"size": [8, 16], "rate": None, "kind": {"choices": ["a", "b"]}, "share": {"low": 0, "high": 0.9}}
    found = space.resolve(Model(), changes)
    assert list(found) == ["size", "share", "layers", "window", "kind"]
    assert found["size"] == Choices(choices=(8, 16))
    assert found["share"] == Range(low=0, high=0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": [1]}, "'sizes' … size, rate"),
        ({"size": 5}, "size: … found 5"),
        ({"size": {"low": 1}}, "size: … high: … required"),
        ({"size": {"low": 4, "high": 4}}, "size: … low … high … 4 and 4"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "rate: … low … above 0 … log"),
        ({"size": []}, "size: "),
        ({"size": {"low": 0, "high": 4}}, "size: … 0"),
        ({"size": {"low": 1, "high": 9.5}}, "size: … 9.5"),
        ({"share": [0.5, 1.0]}, "share: … 1.0"),
        ({"share": {"low": 0.1, "high": 0.5, "log": True}}, "share: … configured … 0 … log"),
        ({"layers": {"low": 1, "high": 2}}, "layers: … configured … [] … number"),
        ({"window": {"low": 1, "high": 2}}, "window: … configured … null … number"),
        (dict.fromkeys(["size", "rate", "share", "layers", "window"]), "search space … empty"),
    ],
)
def test_a_wrong_search_space_is_an_error_before_anything_runs(changes, message):
    with pytest.raises(ValueError, match=facts(message)):
        space.resolve(Model(), changes)


@pytest.mark.parametrize(
    ("registry", "name"), [(registry, name) for registry in (RETRIEVAL, RANKING) for name in registry.entries]
)
def test_what_models_declare_holds_their_defaults_and_nothing_they_cannot_be(registry, name):
    settings = registry[name].settings()
    found = space.resolve(settings, {})
    for setting, dimension in found.items():
        declared = type(settings).model_fields[setting].json_schema_extra["search"]
        assert space.read({setting: declared}) == {setting: dimension}, "the default should lie in what is declared"


def test_a_space_goes_through_json_and_values_through_keras_tuner_unchanged():
    found = space.resolve(Model(), {})
    assert space.read({name: each.model_dump(mode="json") for name, each in found.items()}) == found
    params = {"size": 5, "rate": 0.3, "share": 0.2, "layers": [64], "window": None}
    encoded = space.encoded(found, params)
    assert encoded == {"size": 5, "rate": 0.3, "share": 0.2, "layers": "[64]", "window": "null"}
    assert space.decoded(found, encoded | {"trial_id": "03", "score": 0.5}) == params


# ---- the records ----

STEP = RetrievalStepSettings.model_validate(
    {
        "model": "ials",
        "params": {},
        "features": {},
        "seed": 1,
        "queries": {"unit": "user", "exclude_seen": True, "in_time": True},
        "max_queries": 100,
        "windows": {"count": 0, "of_each_user": True},
    }
)
TUNER = TunerSettings(step="retrieval", retrieval=STEP, space={}, trials=3, minutes=None, folder=None)


def test_a_record_is_found_by_all_settings_and_by_nothing_less(tmp_path):
    records = Records(tmp_path / "world")
    assert records.all() == []
    done = Trial(2, {"size": 4, "layers": [1, 2]}, 0.25, 1.5)
    records.put(done)
    records.put(Trial(1, {"size": 8, "layers": [1, 2]}, 0.5, 1.0))
    assert records.get({"layers": [1, 2], "size": 4}) == done
    assert records.get({"layers": [1], "size": 4}) is None
    assert [trial.number for trial in records.all()] == [1, 2]


def test_trials_under_other_conditions_have_another_folder(tmp_path):
    def folder(step=STEP, code="c", examples="examples/1", transform="graph/1", **changes):
        settings = TUNER.model_copy(update={"retrieval": step, **changes})
        return trials_folder(tmp_path, settings.conditions(), code, examples, transform)

    base = folder()
    assert base == folder(STEP.model_copy(update={"params": {"factors": 8}}), trials=9, minutes=1.0, space={"l2": 1})
    queries = STEP.queries.model_copy(update={"unit": "event"})
    features = STEP.features.model_copy(update={"history_length": 7})
    changes = {"model": "bpr", "seed": 2, "max_queries": 99, "queries": queries, "features": features}
    others = [
        *(folder(STEP.model_copy(update={key: value})) for key, value in changes.items()),
        folder(code="d"),
        folder(examples="examples/2"),
        folder(transform="graph/2"),
    ]
    assert len({base, *others}) == 1 + len(others)


# ---- the file ----


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("name: a", "name: a\nretrieval:\n  params: {size: 4, rate: 0.5}\n", id="no step"),
        pytest.param(
            "retrieval:\n  model: m  # why\n\n# below\nname: a\n",
            "retrieval:\n  model: m  # why\n  params: {size: 4, rate: 0.5}\n\n# below\nname: a\n",
            id="no params",
        ),
        pytest.param(
            "retrieval: {model: m}  # here\nname: a\n",
            "retrieval: {model: m, params: {size: 4, rate: 0.5}}  # here\nname: a\n",
            id="no params in braces",
        ),
        pytest.param(
            "retrieval:\n  params: {}\nname: a\n",
            "retrieval:\n  params: {size: 4, rate: 0.5}\nname: a\n",
            id="empty params",
        ),
        pytest.param(
            "retrieval:\n  params: {rate: 1, other: 2}  # here\n  model: m\n",
            "retrieval:\n  params: {rate: 0.5, other: 2, size: 4}  # here\n  model: m\n",
            id="params in braces",
        ),
        pytest.param(
            "retrieval:\n  # all of them\n  params:\n    size: 9  # large\n    # kept\n    other: [1, 2]\n  model: m\n",
            "retrieval:\n  # all of them\n  params:\n    size: 4  # large\n    # kept\n    other: [1, 2]\n"
            "    rate: 0.5\n  model: m\n",
            id="params as a block",
        ),
        pytest.param(
            "retrieval:\n  params:\n    layers:\n      - 1\n      - 2\nname: a",
            "retrieval:\n  params:\n    layers:\n      - 1\n      - 2\n    size: 4\n    rate: 0.5\nname: a",
            id="a block in the block",
        ),
    ],
)
def test_only_what_was_found_changes_in_the_file(before, after):
    assert with_params(before, "retrieval", {"size": 4, "rate": 0.5}) == after


def test_lists_null_and_text_are_written_as_yaml():
    params = {"layers": [64, 32], "window": None, "kind": "tf_idf", "other": "no", "rate": 1e-05, "size": 7}
    text = with_params("ranking:\n  params:\n    layers: [1]\n", "ranking", params)
    assert yaml.safe_load(text)["ranking"]["params"] == params
    assert "layers: [64, 32]\n" in text


def test_a_block_list_is_replaced_whole():
    text = with_params(
        "retrieval:\n  params:\n    layers:\n      - 1\n      - 2\nname: a\n", "retrieval", {"layers": [3]}
    )
    assert yaml.safe_load(text) == {"retrieval": {"params": {"layers": [3]}}, "name": "a"}


def test_what_an_anchor_shares_is_not_changed_elsewhere():
    before = textwrap.dedent(
        """
        retrieval:
          params: &shared {size: 9}
        ranking:
          params: *shared
        """
    )
    text = with_params(before, "ranking", {"size": 4})
    assert yaml.safe_load(text) == {"retrieval": {"params": {"size": 9}}, "ranking": {"params": {"size": 4}}}
