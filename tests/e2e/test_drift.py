"""Drift of a later delivery from the delivery of the release in force, in a run of the DAG."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def later(finished):
    """Return a run on the same tables, with the year of each item multiplied by 1000."""
    folder = finished.folder / "later"
    shutil.copytree(finished.folder / "data", folder)
    items = pq.read_table(folder / "items.parquet")
    place = items.column_names.index("year")
    grown = pc.multiply(items["year"].cast(pa.float64()), 1000.0)
    pq.write_table(items.set_column(place, "year", grown), folder / "items.parquet")
    return folder.name


def drift_of(runs):
    """Return the report of the latest execution of DriftDetector in a run folder."""
    folders = (runs / "pipeline/DriftDetector/drift").iterdir()
    return json.loads((max(folders, key=lambda folder: int(folder.name)) / "drift.json").read_text())


def test_a_first_run_has_nothing_to_compare_with(twostep, recommender):
    elsewhere = recommender.folder / "first_runs"
    config = recommender.config("first.yaml", run_folder=str(elsewhere))
    done = twostep.fork("run", config, "--until", "DriftDetector", folder=recommender.folder)
    assert done.code == 0, done.err
    written = drift_of(elsewhere)
    assert (written["release"], written["findings"]) == (None, [])
    assert "no earlier release" in written["not_compared"]


def test_a_release_holds_the_statistics_of_its_tables(finished):
    folder = finished.releases / finished.current() / "statistics"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.pb")}
    assert found == {f"{table}/FeatureStats.pb" for table in ("interactions", "users", "items", "impressions")}


def test_a_drift_beyond_a_bound_stops_the_run_before_the_join(twostep, finished, later):
    before = finished.current()
    config = finished.config("stop.yaml", data={"root": later}, drift={"action": "stop"})
    done = twostep.fork("run", config, folder=finished.folder)
    assert done.code == 1
    assert re.search(r"items: column year: median 1,99\d before, 1,99\d,000 now; ratio 1,000, bound 3", done.err)
    assert before in done.err
    assert done.nodes["DriftDetector"] == "failed"
    assert "EventJoiner" not in done.nodes
    assert finished.current() == before


def test_reported_a_drift_lets_the_run_go_on(twostep, finished, later):
    config = finished.config("report.yaml", data={"root": later})
    done = twostep.fork("run", config, "--until", "EventJoiner", folder=finished.folder)
    assert done.code == 0, done.err
    assert {done.nodes["DriftDetector"], done.nodes["EventJoiner"]} == {"done"}
    written = drift_of(finished.runs)
    assert written["release"] == finished.current()
    beyond = {(each["table"], each["column"], each["measure"]) for each in written["findings"] if each["beyond"]}
    assert beyond == {("items", "year", "median"), ("items", "year", "distance")}
