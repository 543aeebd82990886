"""Checks of a configuration across its sections; `test_explain.py` covers types and unknown keys."""

from pathlib import Path

import pytest
import yaml
from configurations import check_refused, load
from facts import facts

import core
from core.errors import UsageError
from pipeline import config

EXAMPLES = sorted((Path(core.__file__).resolve().parents[1] / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads(path):
    assert config.load(path).name == yaml.safe_load(path.read_text())["name"]


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


def test_the_least_a_configuration_says(tmp_path):
    found = load(tmp_path, "{}")
    assert found.seed == 42
    assert found.split.method == "temporal"
    assert found.evaluation.at == (10, 20, 100)
    with pytest.raises(ValueError, match="frozen"):
        found.seed = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # ---- keys and types ----
        ("sed: 1", "  sed: … `seed`"),
        ("banana: 1", "  banana: … name, seed"),
        ("name: My Shop", "  name: … pattern … 'My Shop'"),
        ("seed: -1", "  seed: … 0 … found -1"),
        ("retrieval: {candidates: many}", "  retrieval.candidates: … integer … found 'many'"),
        ("retrieval: {index: {kind: annoy}}", "  retrieval.index.kind: … 'exact' … 'hnsw' … found 'annoy'"),
        ("retrieval: {index: {min_recall: 2}}", "  retrieval.index.min_recall: … 1"),
        # ---- models ----
        ("retrieval: {model: tow_tower}", "  retrieval … popularity, item_knn, … found 'tow_tower'"),
        (
            "retrieval: {params: {dims: 3}}",
            "  retrieval.params of two_tower: dims: … `dim`",
        ),
        (
            "retrieval: {params: {dim: 0}}",
            "2 … found 0",
        ),
        (
            "retrieval: {model: ease, index: {kind: hnsw}}",
            "  retrieval.index.kind: … `exact`",
        ),
        ("ranking: {model: mmoe}", "  ranking.model: mmoe … rating"),
        ("features: {user: {hour: numeric}}", "  features: … ['hour']"),
        (
            "{features: {item: {score_of_ease: numeric}}, "
            "retrieval: {model: fusion, params: {models: {ease: {}, ials: {}}}}}",
            "  features: … ['score_of_ease']",
        ),
        ("features: {item: {interaction: timestamp}}", "  features: … 'interaction'"),
        ("retrieval: {model: svd}", "  retrieval.model: svd … ratings"),
        ("ranking: {model: gbdt9}", "  ranking … dcn, … found 'gbdt9'"),
        (
            "ranking: {negatives: {impressions: 0.2}}",
            "  ranking.negatives.impressions: … `data.impressions` … `impressions: {path: impressions.parquet}` … 0",
        ),
        (
            "{data: {root: ., impressions: {path: e.csv}}, split: {method: random}, "
            "ranking: {negatives: {impressions: 0.2}}}",
            "  ranking.negatives.impressions: … 0 … `random`",
        ),
        ("ranking: {negatives: {impressions: 0.6}}", "  ranking.negatives.impressions: … 0.5"),
        (
            "ranking: {negatives: {popular: 0.3, uniform: 0.3, impressions: 0.3}}",
            "  ranking.negatives: … 0.8",
        ),
        ("ranking: {params: {loss: hinge}}", "'softmax' … 'pointwise'"),
        # ---- features ----
        (
            "features: {user: {a: numeric}, item: {a: numeric}}",
            "  features: … ['a']",
        ),
        ("features: {user: {user_id: categorical}}", "  features: … 'user_id'"),
        ("features: {item: {shelf no: categorical}}", "  features: … `_`"),
        ("features: {item: {k: categorical}}", "  features: … 'k'"),
        (
            "features: {user: {age: {kind: numeric, buckets: -1}}}",
            "  features.user.age.buckets: … found -1",
        ),
        ("features: {history_length: 0}", "  features.history_length: … 1"),
        # ---- title ----
        (
            "data: {root: ., title: history}",
            "  data.title: … found 'his",
        ),
        (
            "{data: {root: ., title: age}, features: {user: {age: numeric}}}",
            "  data.title: … items … found 'age'",
        ),
        (
            "{data: {root: ., title: tags}, features: {item: {tags: multi_valued}}}",
            "  data.title: … items … found 'tags'",
        ),
        (
            "{data: {root: ., owner: sellers}, features: {item: {sellers: multi_valued}}}",
            "  data.owner: … items … found 'sellers'",
        ),
        (
            "{data: {root: ., owner: age}, features: {user: {age: numeric}}}",
            "  data.owner: … items … found 'age'",
        ),
        # ---- reranking ----
        ("reranking: {mmr: {}, dpp: {}}", "  reranking: … `mmr` … `dpp`"),
        (
            "reranking: {mmr: {}}",
            "  reranking.mmr: … `features.item`",
        ),
        ("reranking: {mmr: {weight: 1.5}}", "  reranking.mmr.weight: … 1 … found 1.5"),
        ("reranking: {mrr: {}}", "  reranking.mrr: … `mmr`"),
        (
            "reranking: {dpp: {weight: 0.6}, calibration: {column: genres, weight: 0.5}}",
            "  reranking: … 1 … found 0.6 + 0.5",
        ),
        (
            "{features: {item: {a: categorical, p: numeric}}, reranking: {freshness: {column: a}}}",
            "  reranking.freshness.column … p … numeric … found 'a'",
        ),
        (
            "{features: {item: {a: categorical, b: multi_valued, p: numeric}}, "
            "reranking: {caps: [{column: p, max_items: 1}]}}",
            "  reranking.caps.column … a, b … categorical … found 'p'",
        ),
        (
            "{features: {item: {p: numeric}}, reranking: {calibration: {column: p}}}",
            "  reranking.calibration.column … none … categorical … found 'p'",
        ),
        # ---- evaluation ----
        ("evaluation: {at: []}", "  evaluation.at: "),
        ("evaluation: {at: [10, 0]}", "  evaluation.at.1: … 1 … found 0"),
        ("evaluation: {baselines: [best]}", "  evaluation: baselines … popularity, item_knn … found 'best'"),
        ("evaluation: {baselines: [two_tower]}", "baselines … features … found 'two_tower'"),
        ("evaluation: {slices: [age]}", "  evaluation.slices: … ['age']"),
        (
            "{evaluation: {slices: [tags]}, features: {user: {tags: multi_valued, sex: categorical}}}",
            "  evaluation.slices: … ['tags']",
        ),
        ("evaluation: {resamples: 3}", "  evaluation.resamples: … 100"),
        # ---- rules ----
        (
            "evaluation: {rules: [{metric: ndcg10, at_least: 0}]}",
            "  evaluation.rules.0: … 10",
        ),
        (
            "evaluation: {rules: [{metric: mystery@10, at_least: 0}]}",
            "  evaluation.rules.0: … NAME@K … found 'mystery@10'",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10}]}",
            "  evaluation.rules.0: … one of at_least, at_most, not_below",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, at_least: 0, not_below: popularity}]}",
            "  evaluation.rules.0: … one of at_least, at_most, not_below",
        ),
        (
            "evaluation: {rules: [{metric: gini@10, not_below: popularity}]}",
            "  evaluation.rules.0: … `not_below`",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@5, at_least: 0.1}]}",
            "  evaluation: … 5 … `at` … [10, 20, 100] … `rules`",
        ),
        (
            "evaluation: {rules: [{metric: gini@10, at_most: 1, slice: 'user:cold'}]}",
            "  evaluation.rules.0: … `slice`",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, at_least: 0, slice: 'item:tail'}]}",
            "  evaluation.rules.0: … found ndcg@10 of item:tail",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, at_least: 0, slice: 'sex=F'}]}",
            "`slices` … found 'sex=F'",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, at_least: 0, slice: 'user:new'}]}",
            "  evaluation: … user:warm, user:cold, item:warm … found 'user:new'",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, change_at_least: .nan}]}",
            "  evaluation.rules.0.change_at_least: … finite … found nan",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, not_below: popularty}]}",
            "  evaluation: … found 'popularty'",
        ),
        (
            "evaluation: {rules: [{metric: ndcg@10, not_below: last_blessed}]}",
            "  evaluation: … `last_blessed` … `in_force`",
        ),
        (
            "{evaluation: {slices: [kind], rules: [{metric: ndcg@10, at_least: 0, slice: kind=a}]}, "
            "features: {item: {kind: categorical}}}",
            "  evaluation.rules: … found ndcg@10 of kind=a",
        ),
        ("release: {trusted_keys: [a.pem]}", "  release: … `trusted_keys` … `signing_key`"),
        ("release: {folder: ../elsewhere}", "  release.folder: … found '../elsewhere'"),
        (
            "evaluation: {rules: [{step: three, metric: ndcg@10, at_least: 0}]}",
            "  evaluation.rules.0.step: … 'retrieval'",
        ),
    ],
)
def test_an_error_names_the_key_that_does_not_fit(tmp_path, text, message):
    check_refused(tmp_path, text, message)


@pytest.mark.parametrize(
    "text",
    [
        "evaluation: {at: [5], rules: [{metric: recall@5, at_least: 0.1}]}",
        "evaluation: {at: [5], rules: [], baselines: []}",
        "evaluation: {rules: [{metric: gini@100, at_least: 0.1, step: retrieval}]}",
        "evaluation: {rules: [{metric: novelty@20, not_below: item_knn}]}",
        "{data: {root: ., title: name}, features: {item: {name: categorical}}}",
        "{data: {root: ., title: name, owner: seller, items: {path: i.csv, columns: {seller: by}}}, "
        "features: {item: {name: categorical}}}",
        "{data: {root: ., title: name, items: {path: i.csv, columns: {name: Name, item_id: id, g: Genre}}}, "
        "features: {item: {name: categorical, g: categorical}}}",
        "{data: {root: ., title: name, items: {path: i.csv, columns: {name: brand, maker: brand, words: brand}}}, "
        "features: {item: {maker: categorical, words: text}}}",
        "{data: {root: ., interactions: {path: i.csv, columns: {rating: stars, part: fold}}}, "
        "split: {method: given, column: part}}",
        "{evaluation: {slices: [age, sex]}, features: {user: {age: numeric, sex: categorical}}}",
        "retrieval: {model: item_knn, params: {neighbours: 5}}",
        "{data: {root: ., interactions: {path: a.csv, rating_range: [1, 5]}}, ranking: {model: mmoe}}",
        "features: {user: {joined: timestamp}, item: {released: {kind: timestamp}}}",
        "split: {method: leave_one_out}",
        "ranking: {negatives: {popular: 0.3, uniform: 0.5}}",
        "{data: {root: ., impressions: {path: e.csv, on_unknown: drop}}, ranking: {negatives: {impressions: 0.5}}}",
        "{data: {root: ., impressions: {path: e.csv}}, split: {method: random}}",
    ],
)
def test_what_fits_is_taken(tmp_path, text):
    load(tmp_path, text)


def test_a_file_that_is_missing_or_not_text_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=facts(f"{tmp_path}/none.yaml: … no such file")):
        config.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=facts(f"{tmp_path}/bytes.yaml: … UTF-8")):
        config.load(tmp_path / "bytes.yaml")
    with pytest.raises(UsageError, match=facts(f"{tmp_path}: … folder")):
        config.load(tmp_path)


def test_by_default_a_release_finds_something_and_is_not_below_any_baseline(tmp_path):
    rules = load(tmp_path, "evaluation: {at: [5, 20], baselines: [popularity, ease]}").evaluation.conditions
    assert {rule.metric for rule in rules} == {"ndcg@5"}
    assert [rule.not_below for rule in rules] == [None, "popularity", "ease", "retrieval", "in_force"]
    assert rules[0].at_least > 0
    assert load(tmp_path, "evaluation: {rules: []}").evaluation.conditions == ()
