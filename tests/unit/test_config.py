"""What a configuration may say beyond types and keys, which `test_explain.py` covers: its parts must fit together."""

from pathlib import Path

import pytest
import yaml
from facts import facts, lacking

import core
from core import names
from core.errors import UsageError
from pipeline import config
from pipeline.config import paths

EXAMPLES = sorted((Path(core.__file__).resolve().parents[1] / "examples").rglob("*.yaml"))
BASE = {"name": "x", "data": {"root": "."}}


def load(tmp_path, text):
    file = tmp_path / "recommender.yaml"
    file.write_text(yaml.safe_dump(BASE | yaml.safe_load(text)))
    return config.load(file)


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
    ("text", "told"),
    [
        # ---- keys and types ----
        ("sed: 1", "  sed: … `seed`"),
        ("banana: 1", "  banana: … name, seed"),
        ("name: My Shop", "  name: … pattern … 'My Shop'"),
        ("seed: -1", "  seed: … 0 … found -1"),
        ("retrieval: {candidates: many}", "  retrieval.candidates: … integer … found 'many'"),
        ("retrieval: {index: {kind: annoy}}", "  retrieval.index.kind: … 'exact' … 'hnsw' … found 'annoy'"),
        ("retrieval: {index: {min_recall: 2}}", "  retrieval.index.min_recall: … 1"),
        # ---- data ----
        ("data: {}", "  data: … `dataset` … `root`"),
        ("data: {root: ., dataset: movielens-100k}", "  data: … `dataset` … `root`"),
        ("data: {dataset: movilens}", "  data: … 100"),
        ("data: {root: ., users: {path: /etc/users.csv}}", "  data.users.path: … data.root"),
        ("data: {root: ., users: {path: ../users.csv}}", "  data.users.path: … data.root"),
        ("data: {root: ., users: {path: users.xls}}", "  data.users.path: … .csv … users.xls"),
        ("data: {root: ., items: {path: a.csv, on_duplicate: keep}}", "on_duplicate … items"),
        ("data: {root: ., interactions: {path: a.csv, rating_range: [1]}}", "  data.interactions.rating_range"),
        ("data: {root: ., impressions: {separator: ;}}", "  data.impressions.path: … required"),
        ("data: {root: ., impressions: {path: shown.xls}}", "  data.impressions.path: … .csv … shown.xls"),
        (
            "data: {root: ., impressions: {path: e.csv, rating_range: [1, 5]}}",
            "data.impressions.rating_range: … not a known key",
        ),
        # ---- columns ----
        ("data: {root: ., users: {path: u.csv, columns: {usr_id: uid}}}", "data.users.columns.usr_id: … user_id"),
        (
            "data: {root: ., users: {path: u.csv, columns: {customer: user_id}}}",
            "data.users.columns.customer: … `user_id: customer`",
        ),
        ("data: {root: ., users: {path: u.csv, columns: {age: Age}}}", "data.users.columns.age: … column"),
        ("data: {root: ., users: {path: u.csv, columns: {rating: stars}}}", "data.users.columns.rating: … column"),
        (
            "data: {root: ., impressions: {path: e.csv, columns: {rating: stars}}}",
            "data.impressions.columns.rating: … column",
        ),
        (
            "data: {root: ., interactions: {path: i.csv, columns: {user_id: id, item_id: id}}}",
            "data.interactions.columns: … `user_id` … `item_id` … 'id'",
        ),
        (
            "{data: {root: ., items: {path: i.csv, columns: {item_id: genre}}}, "
            "features: {item: {genre: categorical}}}",
            "data.items.columns: … `item_id` … `genre`",
        ),
        (
            "data: {root: ., title: name, items: {path: i.csv, columns: {name: item_id}}}",
            "data.items.columns: … `item_id` … `name`",
        ),
        # ---- numbers ----
        ("evaluation: {rules: [{metric: ndcg@10, at_least: .inf}]}", "at_least: … finite … found inf"),
        ("retrieval: {params: {temperature: .inf}}", "temperature: … finite … found inf"),
        ("split: {eval: .nan}", "  split.eval: … finite … found nan"),
        (
            "data: {root: ., interactions: {path: i.csv, rating_range: [1, .inf]}}",
            "rating_range.1: … finite … found inf",
        ),
        ("reranking: {freshness: {column: a, half_life_days: .inf}}", "half_life_days: … finite … found inf"),
        ("seed: true", "  seed: … found true"),
        ("retrieval: {candidates: true}", "  retrieval: … found true"),
        ("evaluation: {at: [10, true]}", "  evaluation: … found [10, true]"),
        # ---- split ----
        (
            "split: {eval: 0.6, test: 0.4}",
            "  split: … 1 … found 1",
        ),
        ("split: {eval: 0}", "  split.eval: … 0 … found 0"),
        (
            "split: {method: by_moon}",
            "  split.method: … 'temporal' … 'temporal_per_user' … 'leave_one_out' … 'random'",
        ),
        ("split: {method: given}", "  split: … `column` … `given` … found given"),
        ("split: {column: fold}", "  split: … `column` … `given` … found temporal"),
        ("split: {method: kfold}", "  split: … `fold` … `kfold` … found kfold"),
        ("split: {method: kfold, fold: 6 of 5}", "  split: … `i of n` … 1"),
        ("split: {method: kfold, fold: 1/5}", "  split.fold: … pattern … '1/5'"),
        (
            "split: {method: given, column: rating}",
            "  split.column: … 'rating'",
        ),
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
def test_what_does_not_fit_is_told_with_its_place(tmp_path, text, told):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert lacking(str(caught.value), told) == []
    assert str(caught.value).startswith(f"{tmp_path}/recommender.yaml:\n")
    assert "Traceback" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "evaluation: {at: [5], rules: [{metric: recall@5, at_least: 0.1}]}",
        "evaluation: {at: [5], rules: [], baselines: []}",
        "evaluation: {rules: [{metric: gini@100, at_least: 0.1, step: retrieval}]}",
        "evaluation: {rules: [{metric: novelty@20, not_below: item_knn}]}",
        "{data: {root: ., title: name}, features: {item: {name: categorical}}}",
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


def test_impressions_are_a_table_where_they_are_configured(tmp_path):
    assert load(tmp_path, "{}").data.tables == names.TABLES
    with_them = load(tmp_path, "data: {root: ., impressions: {path: shown.csv}}")
    assert with_them.data.tables == (*names.TABLES, "impressions")
    for name in ("interactions.parquet", "users.parquet", "items.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=facts(f"\n  data.impressions: {tmp_path}/shown.csv\n")):
        paths.table_files(with_them, tmp_path / "recommender.yaml")
    (tmp_path / "shown.csv").touch()
    assert len(paths.table_files(with_them, tmp_path / "recommender.yaml")) == 4


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path):
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


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("{method: temporal, test: 0.1}", "{method: temporal, test: 0.2}", False),
        ("{method: temporal, test: 0.1}", "{method: temporal_per_user, test: 0.1}", False),
        ("{method: temporal, eval: 0.1}", "{method: temporal, eval: 0.2}", True),  # no event of test changes
        ("{method: leave_one_out, test: 0.1}", "{method: leave_one_out, test: 0.2}", True),
        ("{method: kfold, fold: 1 of 5}", "{method: kfold, fold: 2 of 5}", False),
        ("{method: given, column: a}", "{method: given, column: b}", False),
    ],
)
def test_what_decides_which_events_are_test(tmp_path, text, other, same):
    one, two = (load(tmp_path, f"split: {each}").split for each in (text, other))
    assert (one.of_test(1) == two.of_test(1)) == same


@pytest.mark.parametrize(("method", "drawn"), [("temporal", False), ("random", True)])
def test_the_seed_counts_where_the_test_events_are_drawn(tmp_path, method, drawn):
    split = load(tmp_path, f"split: {{method: {method}}}").split
    assert (split.of_test(1) != split.of_test(2)) == drawn
