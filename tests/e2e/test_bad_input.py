"""Errors of a wrong configuration or wrong data; the earlier release stays unchanged."""

import json
import shutil
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from facts import lacking

from core import names

# ---- the configuration: nothing is run and no file is written ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retrieval": {"modle": "two_tower"}}, "  retrieval.modle: … `model`"),
        ({"retrieval": {"params": {"epochs": 0}}}, "epochs"),
        ({"split": {"eval": 0.5, "test": 0.5}}, "  split: … eval … test … 1"),
        ({"evaluation": {"slices": ["mood"]}}, "  evaluation.slices: … ['mood']"),
        ({"data": {"interactions": {"path": "clicks.parquet"}}}, "\n  data.interactions: … clicks.parquet"),
    ],
)
def test_a_wrong_configuration_is_an_error_before_anything_runs(twostep, recommender, tmp_path, changes, message):
    config = recommender.config("wrong.yaml", **changes, run_folder=str(tmp_path / "runs"))
    done = twostep.run("run", config, folder=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("twostep: ")
    assert lacking(done.err, message) == []
    assert not (tmp_path / "runs").exists()


# ---- the data ----


@pytest.fixture(scope="module")
def broken(twostep, finished):
    """Return a function that changes one table of the shared recommender and runs the pipeline on it."""

    def run(table, change, **changes):
        folder = finished.folder / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished.folder / "data", folder)
        changed = change(pq.read_table(folder / f"{table}.parquet"))
        pq.write_table(changed, folder / f"{table}.parquet")
        config = finished.config("broken.yaml", **{"data": {"root": "broken"}, **changes})
        return twostep.fork("run", config, folder=finished.folder)

    return run


@pytest.fixture(scope="module")
def unharmed(twostep, finished):
    """Check after all tests of this file that the release, its recommendations and the lineage are unchanged."""

    def state():
        lineage = twostep.run("lineage", "slice.yaml", "--format", "json", folder=finished.folder)
        answer = twostep.fork("recommend", "slice.yaml", "--user", "1", "--json", folder=finished.folder)
        verified = twostep.run("release", "verify", "slice.yaml", folder=finished.folder)
        assert (lineage.code, answer.code, verified.code) == (0, 0, 0)
        return (finished.current(), json.loads(lineage.out), verified.out), json.loads(answer.out)

    before, answered = state()
    yield
    after, answers = state()
    assert after == before
    # The time of the query is an input of the ranker and is later now, so the scores may differ slightly.
    assert [each["item_id"] for each in answers["items"]] == [each["item_id"] for each in answered["items"]]
    scores = ([each["score"] for each in found["items"]] for found in (answers, answered))
    np.testing.assert_allclose(*scores, atol=0.02)


def put(column, row, value):
    """Return a function that sets one value of a table."""

    def change(table):
        values = table[column].to_pylist()
        values[row] = value
        place = table.schema.get_field_index(column)
        return table.set_column(place, column, pa.array(values, table.schema.field(column).type))

    return change


def test_bad_data_is_reported_with_file_place_and_what_to_do_and_harms_no_release(broken, unharmed, finished):
    # A worker of Beam raises this error, while it reads one part of a table.
    done = broken(names.INTERACTIONS, put(names.RATING, 7, 9.0))
    assert done.code == 1
    assert done.named("failed") == {"InteractionGen"}
    assert set(done.nodes) <= {"ImpressionGen", "InteractionGen", "ItemGen", "UserGen"}
    file = finished.folder / "broken" / "interactions.parquet"
    assert done.err.startswith(f"twostep: {file}: row 8, column 'rating': ")
    assert "9" in done.err
    assert "on_invalid" in done.err
    assert "Traceback" not in done.err

    # EventJoiner raises this error, since it compares the tables with each other.
    done = broken(names.INTERACTIONS, put(names.ITEM_ID, 7, "no such item"))
    assert done.code == 1
    assert done.named("failed") == {"EventJoiner"}
    user, time = (pq.read_table(file)[column][7] for column in (names.USER_ID, names.TIMESTAMP))
    assert done.err.startswith("twostep: interactions: ")
    place = f"user {user}, item no such item, timestamp {time}"
    assert lacking(done.err, f"{place} … item_id … table items … 1 such … `data.interactions.on_unknown: drop`") == []
    assert done.err.count("\n") == 1


def test_an_empty_split_is_an_error(broken, unharmed):
    done = broken(names.INTERACTIONS, lambda table: table, split={"eval": 0.01, "test": 0.001})
    assert done.code == 1
    assert done.named("failed") == {"EventJoiner"}
    assert done.err.startswith("twostep: interactions: ")
    assert lacking(done.err, "split `temporal_per_user` … train 9,998, eval 0, test 0 events") == []


# ---- frozen schemas ----


def test_a_later_delivery_is_held_against_a_frozen_schema(twostep, broken, unharmed, finished):
    done = twostep.run("data", "freeze", "slice.yaml", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    assert "schema_folder: schema" in done.out
    assert {path.name for path in (finished.folder / "schema").iterdir()} == {
        f"{table}.pbtxt" for table in (*names.TABLES, names.IMPRESSIONS)
    }

    done = broken(names.USERS, put("gender", 3, "unheard of"), data={"root": "broken", "schema_folder": "schema"})
    assert done.code == 1
    assert done.named("failed") == {"EventJoiner"}
    assert done.err.startswith("twostep: users: schema: gender: ")
    assert "unheard of" in done.err
    assert "users.pbtxt" in done.err

    # The tables from which the schemas were frozen have no anomalies, so the run reaches Transform.
    config = finished.config("frozen.yaml", data={"schema_folder": "schema"})
    executions = finished.runs / "pipeline" / "Transform" / ".system" / "executor_execution"
    before = len(list(executions.iterdir()))
    running = twostep.start("run", config, folder=finished.folder)
    done = running.signal_when(signal.SIGKILL, lambda: len(list(executions.iterdir())) > before)
    assert done.nodes["EventJoiner"] == "done"
