"""The tables, columns and split of a configuration."""

import pytest
from configurations import check_refused, load
from facts import facts

from core import names
from core.errors import UsageError
from pipeline.config import paths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # ---- data ----
        ("data: {}", "  data: … `dataset` … `root`"),
        ("data: {root: ., dataset: movielens-100k}", "  data: … `dataset` … `root`"),
        ("data: {dataset: movilens}", "  data: … 100"),
        ("data: {root: ., users: {path: /etc/users.csv}}", "  data.users.path: … data.root"),
        ("data: {root: ., users: {path: ../users.csv}}", "  data.users.path: … data.root"),
        ("data: {root: ., users: {path: users.xls}}", "  data.users.path: … .csv … users.xls"),
        ("data: {root: ., items: {path: a.csv, on_duplicate: keep}}", "on_duplicate … items"),
        ("data: {root: ., interactions: {path: a.csv, rating_range: [1]}}", "  data.interactions.rating_range"),
        (
            "data: {root: ., impressions: {separator: ;}}",
            "  data.impressions: … exactly one of path, bigquery, bigtable, spanner … none of them",
        ),
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
    ],
)
def test_an_error_names_the_key_that_does_not_fit(tmp_path, text, message):
    check_refused(tmp_path, text, message)


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


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("{method: temporal, test: 0.1}", "{method: temporal, test: 0.2}", False),
        ("{method: temporal, test: 0.1}", "{method: temporal_per_user, test: 0.1}", False),
        ("{method: temporal, eval: 0.1}", "{method: temporal, eval: 0.2}", True),  # the split test stays the same
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
