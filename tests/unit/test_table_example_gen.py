"""Several files of one table: keys across them, the report, and that what was planned is what is written."""

import pickle
from pathlib import Path

import pyarrow as pa

from components.table_example_gen.spec import Problem, TableSpec, as_error
from components.table_example_gen.table import Plan, check_file, clean_tables, make_plan
from core.files import sha256

NOW = 1_700_000_000
USERS = TableSpec(table="users", features={"age": {"kind": "numeric"}})


def plan_for(contents: dict[str, str], folder: Path, spec: TableSpec) -> tuple[Plan, list[str]]:
    paths = []
    for name, content in contents.items():
        (folder / name).write_text(content)
        paths.append(str(folder / name))
    checks = [check_file(path, spec, NOW, keep_keys=True) for path in reversed(paths)]  # Beam promises no order
    return make_plan(pickle.loads(pickle.dumps(checks)), spec), paths


def test_a_key_in_two_files(tmp_path):
    contents = {"1.csv": "user_id,age\n1,10\n2,20\n", "2.csv": "user_id,age\n3,30\n2,40\n1,50\n"}
    plan, (first, second) = plan_for(contents, tmp_path, USERS)
    assert len(plan.problems) == 1
    message = str(as_error(plan.problems))
    assert message.startswith(f"{second}: line 3: user_id '2' stands in line 3 of {first} already (2 such rows)")
    assert "`data.users.on_duplicate: drop`" in message


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
    assert "the 2 files of users: the table: has columns but no rows" in str(as_error(plan.problems))


def test_ratings_in_some_files_only(tmp_path):
    contents = {
        "1.csv": "user_id,item_id,timestamp\n1,1,1\n",
        "2.csv": "user_id,item_id,timestamp,rating\n1,2,1,3\n",
    }
    plan, (first, _) = plan_for(contents, tmp_path, TableSpec(table="interactions"))
    assert f"{first}: its columns: there is no column 'rating', but other files have one" in str(
        as_error(plan.problems)
    )


def test_many_problems_are_cut():
    message = str(as_error([Problem(f"f{n}", "p", "x", "y") for n in range(30)]))
    assert "f19: p" in message
    assert "f20" not in message
    assert message.endswith("and 10 problems more")
