"""A table with several files: keys across the files, the report, and that the written rows are those of the plan."""

import pickle
import random
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from facts import lacking

from components.table_example_gen import keys
from components.table_example_gen.spec import Problem, TableSpec, as_error, check_dropped
from components.table_example_gen.table import Plan, check_file, clean_tables, make_plan
from core.errors import DataError
from core.files import sha256

NOW = 1_700_000_000
USERS = TableSpec(table="users", features={"age": {"kind": "numeric"}}, max_dropped=1)


def plan_for(contents: dict[str, str], folder: Path, spec: TableSpec, shards: int = 1) -> tuple[Plan, list[str]]:
    """Write the files of a table; return their plan, computed in random order as in Beam, and their paths."""
    paths = []
    for name, content in contents.items():
        (folder / name).write_text(content)
        paths.append(str(folder / name))
    return plan_of(paths, spec, shards), paths


def plan_of(paths: list[str], spec: TableSpec, shards: int) -> Plan:
    checks, parts = [], defaultdict(list)
    for path in random.Random(shards).sample(paths, len(paths)):
        batches = check_file(path, spec, NOW)
        while True:
            try:
                batch = next(batches)
            except StopIteration as stop:
                checks.append(stop.value)
                break
            for shard, part in keys.by_shard(batch, spec, shards):
                parts[shard].insert(0, part)
    repeats = [keys.repeats_of(pickle.loads(pickle.dumps(part)), spec) for part in parts.values()]
    return make_plan(pickle.loads(pickle.dumps(checks)), keys.merged(reversed(repeats)), spec)


@pytest.mark.parametrize("policy", ["error", "drop"])
def test_shards_change_nothing(tmp_path, policy):
    rng = random.Random(0)
    rows = [f"{rng.randrange(300)},{rng.randrange(2)},{rng.randrange(2)}" for _ in range(1000)]
    contents = {f"{n}.csv": "user_id,item_id,timestamp\n" + "\n".join(rows[n::5]) + "\n" for n in range(5)}
    spec = TableSpec(table="interactions", on_duplicate=policy, max_dropped=1)
    whole, paths = plan_for(contents, tmp_path, spec)
    assert whole.report["rows_written"] == len(set(rows))
    assert len(whole.problems) == (5 if policy == "error" else 0)
    written = set()
    for path in paths:
        for table in clean_tables(path, spec, NOW, whole.repeats[path]):
            written |= {",".join(map(str, row.values())) for row in table.to_pylist()}
    assert written == set(rows)
    for shards in (2, 7, 100):
        found = plan_of(paths, spec, shards)
        assert (found.problems, found.report) == (whole.problems, whole.report)
        assert {path: rows.tolist() for path, rows in found.repeats.items()} == {
            path: rows.tolist() for path, rows in whole.repeats.items()
        }


def test_the_number_of_shards_follows_from_the_rows(tmp_path, monkeypatch):
    pq.write_table(pa.table({"user_id": [str(n) for n in range(100)]}), tmp_path / "u.parquet")
    (tmp_path / "u.csv").write_text("user_id\n" + "1234567\n" * 99)
    files = [str(tmp_path / name) for name in ("u.parquet", "u.csv")]
    assert keys.shards_for(files) == 1
    monkeypatch.setattr(keys, "KEYS_A_SHARD", 50)
    assert keys.shards_for(files) == 4
    assert keys.shards_for([files[0], str(tmp_path / "none.csv")]) == 2


def test_dropped_rows_of_a_join(tmp_path):
    check_dropped("impressions", {"unknown_user": 3, "unknown_item": 2}, 100, 0.05)
    with pytest.raises(DataError) as caught:
        check_dropped("impressions", {"unknown_user": 3, "unknown_item": 3}, 100, 0.05)
    assert caught.value.file == "impressions"
    assert lacking(caught.value.found, "6 of 100 rows … 6.00% … 3 unknown_item, 3 unknown_user") == []


def test_a_key_in_two_files(tmp_path):
    contents = {"1.csv": "user_id,age\n1,10\n2,20\n", "2.csv": "user_id,age\n3,30\n2,40\n1,50\n"}
    plan, (first, second) = plan_for(contents, tmp_path, USERS)
    assert len(plan.problems) == 1
    message = str(as_error(plan.problems))
    assert message.startswith(f"{second}: line 3: user_id '2' ")
    assert lacking(message, f"line 3 of {first} … (2 such rows) … `data.users.on_duplicate: drop`") == []


def test_the_first_of_a_key_stays_across_files(tmp_path):
    contents = {"1.csv": "user_id,age\n1,10\n2,20\n1,15\n", "2.csv": "user_id,age,x\n3,old,\n3,30,\n2,40,\n3,50,\n"}
    spec = USERS.model_copy(update={"on_duplicate": "drop", "on_invalid": "drop"})
    plan, paths = plan_for(contents, tmp_path, spec)
    assert not plan.problems
    tables = [table for path in paths for table in clean_tables(path, spec, NOW, plan.repeats[path])]
    assert pa.concat_tables(tables).to_pydict() == {"user_id": ["1", "2", "3"], "age": [10.0, 20.0, 30.0]}
    assert plan.report == {
        "table": "users",
        "rows_read": 7,
        "rows_written": 3,
        "dropped": {"duplicate": 3, "not_a_number": 1},
        "dropped_share": 0.571429,
        "columns": ["user_id", "age"],
        "ignored_columns": ["x"],
        "files": [
            {"file": paths[0], "sha256": sha256(paths[0]), "rows": 3, "dropped": {"duplicate": 1}},
            {"file": paths[1], "sha256": sha256(paths[1]), "rows": 4, "dropped": {"duplicate": 2, "not_a_number": 1}},
        ],
    }


def test_one_file_without_rows_among_others_is_no_problem(tmp_path):
    plan, _ = plan_for({"1.csv": "user_id,age\n", "2.csv": "user_id,age\n1,1\n"}, tmp_path, USERS)
    assert not plan.problems
    plan, _ = plan_for({"1.csv": "user_id,age\n", "2.csv": "user_id,age\n"}, tmp_path, USERS)
    assert lacking(str(as_error(plan.problems)), "the 2 files of users: … no rows") == []


def test_ratings_in_some_files_only(tmp_path):
    contents = {
        "1.csv": "user_id,item_id,timestamp\n1,1,1\n",
        "2.csv": "user_id,item_id,timestamp,rating\n1,2,1,3\n",
    }
    plan, (first, _) = plan_for(contents, tmp_path, TableSpec(table="interactions"))
    assert lacking(str(as_error(plan.problems)), f"{first}: … no column 'rating' … other files") == []


def test_many_problems_are_cut():
    message = str(as_error([Problem(f"f{n}", "p", "x", "y") for n in range(30)]))
    assert "f19: p" in message
    assert "f20" not in message
    assert "10" in message.splitlines()[-1]
