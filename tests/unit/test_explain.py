"""The command `config explain`, and the errors of a wrong configuration."""

import pytest
import yaml
from facts import facts, lacking

from core.errors import UsageError
from pipeline import config
from pipeline.config.explain import Key, explain, tree
from trainer.ranking.settings import TreesSettings
from trainer.retrieval.two_tower.settings import TwoTowerSettings


def paths(keys: tuple[Key, ...], above: str = "") -> list[tuple[str, Key]]:
    found = []
    for key in keys:
        found += [(above + key.name, key), *paths(key.below, f"{above}{key.name}.")]
    return found


def test_every_key_of_the_models_is_there_with_a_meaning():
    keys = dict(paths(tree()))
    for path in (
        "name",
        "data.interactions.rating_range",
        "features.item.<name>.buckets",
        "retrieval.index.min_recall",
        "evaluation.rules.not_below",
        "retrieval.params.temperature",
        "ranking.params.cross_layers",
    ):
        assert path in keys
    assert [path for path, key in keys.items() if not key.meaning and path.rpartition(".")[2] != "<name>"] == []


def test_the_text_is_a_configuration_of_the_defaults():
    """The output of `explain`, with the required keys filled in, is a valid configuration with all defaults."""
    values = yaml.safe_load(explain("split") + explain("release") + explain("retrieval.index"))
    default = config.Config.model_validate({"name": "x", "data": {"root": "."}})
    loaded = config.Config.model_validate({"name": "x", "data": {"root": "."}, **values})
    assert loaded == default
    assert values["retrieval"]["index"] == {"kind": "exact", "min_recall": 0.95}


def test_a_group_that_is_left_out_by_default_says_so_and_hides_none_of_its_keys():
    text = explain("reranking")
    assert "# Diversity by maximal marginal relevance. (group or null) Absent by default.\n  mmr:\n" in text
    assert yaml.safe_load(explain("reranking.mmr"))["reranking"]["mmr"].keys() == {"weight", "similarity"}


def test_one_key_stands_below_those_above_it():
    first, second, *comment, last = explain("retrieval.index.min_recall").splitlines()
    assert [first, second, last] == ["retrieval:", "  index:", "    min_recall: 0.95"]
    assert all(line.startswith("    # ") for line in comment)
    assert " ".join(line.removeprefix("    # ") for line in comment).endswith("(number, at least 0, at most 1)")


def test_a_feature_of_any_name_is_explained_by_kind():
    text = explain("features.user.age")
    assert "    age:\n" in text
    assert (
        "one of categorical, multi_valued, numeric, timestamp, text, embedding, cross, or `module:Class` for a kind"
        in (" ".join(text.replace("#", " ").split()))
    )
    assert text.index("where kind: multi_valued") < text.index("max_values: 8") < text.index("where kind: numeric")


def test_settings_are_listed_separately_for_every_model():
    text = explain("retrieval.params")
    assert text.index("where model: item_knn") < text.index("neighbours: 50") < text.index("where model: two_tower")
    assert "one of popularity, " in explain("retrieval.model")
    assert all(name in explain("retrieval.model") for name in ("item_knn", "ease", "two_tower"))


@pytest.mark.parametrize(
    ("key", "model", "settings"),
    [("retrieval.params.two_tower", "two_tower", TwoTowerSettings), ("ranking.params.trees", "trees", TreesSettings)],
)
def test_the_settings_of_one_model_are_a_configuration_of_its_defaults(key, model, settings):
    text = explain(key)
    step = yaml.safe_load(text)[key.partition(".")[0]]
    assert step["model"] == model
    assert settings.model_validate(step["params"]) == settings()
    assert step["params"].keys() == settings.model_fields.keys()
    for field in settings.model_fields.values():
        assert field.description.split(";")[0].split()[0] in text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("retrieval.params.two_tower.dim", 64, "(integer, at least 2, at most 4096)"),
        ("ranking.params.trees.trees", 300, "(integer, at least 1, at most 100,000)"),
        ("retrieval.params.two_tower.history", "mean", "(one of mean, gru, sasrec)"),
    ],
)
def test_one_setting_of_one_model(key, value, words):
    text = explain(key)
    step, _, model, setting = key.split(".")
    assert yaml.safe_load(text)[step] == {"model": model, "params": {setting: value}}
    assert words in " ".join(text.replace("#", "").split())


def test_a_required_key_says_so():
    assert "Required.\nname:\n" in explain("name")
    assert "Required." not in explain("data.users.path")  # the whole table has a default


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("retrieval.indx", "`retrieval.index`"),
        ("retreival", "`retrieval`"),
        ("temperature", "`retrieval.params.temperature`"),
        ("retrieval.params.two_towr", "`retrieval.params.two_tower`"),
        ("retrieval.params.two_tower.dimm", "retrieval.params.two_tower.dimm: … `dim` … dim, hidden"),
        ("ranking.params.trees.dim", "ranking.params.trees.dim: … calibration, trees"),
        ("name.given", "name.given: … `name`"),
        ("split.zzz", "split … method, column, fold, eval, test"),
    ],
)
def test_an_unknown_key_gets_a_hint(key, hint):
    with pytest.raises(UsageError) as caught:
        explain(key)
    assert lacking(str(caught.value), hint) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("retreival: {}", "retreival: … `retrieval`"),
        ("retrieval: {index: {knd: exact}}", "retrieval.index.knd: … `kind`"),
        (
            "features: {user: {age: {kind: numeric, bukets: 3}}}",
            "features.user.age.bukets: … `buckets`",
        ),
        (
            "features: {item: {numeric: {kind: numeric, lag: 1}}}",
            "features.item.numeric.lag: … `log`",
        ),
        (
            "features: {user: {age: numerik}}",
            "features.user.age: … kind … 'categorical', 'multi_valued', 'numeric', 'timestamp', 'text', 'embedding', "
            "'cross' … found 'numerik'",
        ),
        (
            "features: {user: {age: {buckets: 3}}}",
            "features.user.age: … `kind` … `twostep config explain features.user.age`",
        ),
        (
            "evaluation: {rules: [{metrik: mrr@10, at_least: 1}]}",
            "evaluation.rules.0.metrik: … `metric`",
        ),
        (
            "evaluation: {rules: [{metric: mrr@10}]}",
            "evaluation.rules.0: … at_least",
        ),
        ("seed: abc", "seed: … integer … found 'abc'"),
        ("split: {eval: 1.5}", "split.eval: … 1 … found 1.5"),
        ("data: here", "data: … mapping … found 'here'"),
        (
            "data: {root: ., users: {separator: ;}}",
            "data.users: … exactly one of path, bigquery, bigtable, spanner … none of them",
        ),
        ("retrieval: {model: tow_tower}", "retrieval … popularity, … found 'tow_tower'"),
    ],
)
def test_a_wrong_configuration_names_the_key_what_was_found_and_what_would_be_right(tmp_path, changes, message):
    file = tmp_path / "recommender.yaml"
    file.write_text(yaml.safe_dump({"name": "x", "data": {"root": "."}, **yaml.safe_load(changes)}))
    with pytest.raises(UsageError) as caught:
        config.load(file)
    assert lacking(str(caught.value), f"{file}:\n … \n  {message}") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "mapping … name, seed"),
        ("a: [1\n", "YAML … line 2"),
        ("", "mapping"),
    ],
)
def test_a_value_that_is_not_a_mapping_is_an_error(tmp_path, text, message):
    file = tmp_path / "recommender.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=facts(message)):
        config.load(file)
