"""The executor of DriftDetector on statistics of TensorFlow Data Validation and on published releases."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from facts import lacking
from tensorflow_data_validation.statistics import stats_impl
from tfx.types import standard_artifacts

from components.drift_detector.executor import Executor
from components.drift_detector.settings import DetectorSettings, Drift
from components.types import BaselineRelease, DriftReport
from core import names
from core.errors import DataError
from core.release import reader, writer

COLUMNS = {"items": {"item_id": "missing", "price": "values", "region": "values"}}


def write_statistics(folder: Path, price: float = 1.0, regions: int = 4, rows: int = 400) -> Path:
    """Write the statistics of a table of items, as StatisticsGen does; return the folder of the artifact."""
    draw = np.random.default_rng(0)
    columns = {
        "item_id": [f"i{row}" for row in range(rows)],
        "price": (draw.gamma(2, 10, rows) * price).tolist(),
        "region": [f"r{row % regions}" for row in range(rows)],
    }
    batch = pa.RecordBatch.from_pydict({name: [[value] for value in values] for name, values in columns.items()})
    split = folder / f"Split-{names.ALL}"
    split.mkdir(parents=True)
    found = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())
    (split / names.STATISTICS_FILE).write_bytes(found.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """Return the folder of a release whose delivery has 400 items."""
    folder = tmp_path_factory.mktemp("release")
    counted = write_statistics(folder / "counted") / f"Split-{names.ALL}" / names.STATISTICS_FILE
    return publish(folder, counted)


def publish(folder: Path, counted: Path | None) -> Path:
    parts = {name: folder / "parts" / name for name in (*reader.FOLDERS, *reader.FILES)}
    for name in reader.FOLDERS:
        parts[name].mkdir(parents=True)
        (parts[name] / "content").write_text(name)
    for name in reader.FILES:
        parts[name].write_text(name)
    if counted is not None:
        (parts[reader.STATISTICS] / "items").mkdir()
        (parts[reader.STATISTICS] / "items" / names.STATISTICS_FILE).write_bytes(counted.read_bytes())
    return folder / "releases" / writer.publish(folder / "releases", parts, {})


def detect(folder: Path, release: Path | None, bounds: Drift | None = None, **changes: float) -> dict:
    """Run the executor and return the report that it wrote."""
    statistics, output, baseline = standard_artifacts.ExampleStatistics(), DriftReport(), BaselineRelease()
    statistics.uri = str(write_statistics(folder / "now", **changes))
    output.uri = str(folder / "drift")
    Path(output.uri).mkdir()
    baseline.uri = str(folder / "baseline")
    baseline.set_string_custom_property("version", "" if release is None else release.name)
    inputs = {"items_statistics": [statistics], "baseline_release": [baseline]}
    releases_now = folder if release is None else release.parent
    settings = DetectorSettings(bounds=bounds or Drift(), columns=COLUMNS, releases=str(releases_now))
    try:
        Executor().Do(inputs, {"drift": [output]}, {"settings": settings.model_dump_json()})
    finally:
        written = json.loads((folder / "drift" / names.DRIFT_FILE).read_text())
    return written


def beyond(report: dict) -> set[tuple[str | None, str]]:
    return {(each["column"], each["measure"]) for each in report["findings"] if each["beyond"]}


def test_the_same_delivery_has_not_drifted(tmp_path, release):
    report = detect(tmp_path, release)
    assert report["release"] == release.name
    assert len(report["findings"]) == 7
    assert beyond(report) == set()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"price": 1000.0}, {("price", "median"), ("price", "distance")}),
        ({"regions": 1}, {("region", "distance")}),
        ({"rows": 12}, {(None, "rows")}),
    ],
)
def test_a_drift_is_reported_with_its_column_and_measure(tmp_path, release, changes, found):
    assert found <= beyond(detect(tmp_path, release, **changes))


def test_with_stop_the_error_names_table_column_measure_values_bound_and_release(tmp_path, release):
    with pytest.raises(DataError) as caught:
        detect(tmp_path, release, Drift(action="stop"), price=1000.0)
    message = str(caught.value)
    assert message.startswith("items: column price: median ")
    assert lacking(message, f"bound 3 … {release.name} … 1 more … items.price distance … `drift.action`") == []
    written = json.loads((tmp_path / "drift" / names.DRIFT_FILE).read_text())
    assert beyond(written) == {("price", "median"), ("price", "distance")}


def test_without_a_release_in_force_it_says_so_and_passes(tmp_path):
    report = detect(tmp_path, None, Drift(action="stop"), price=1000.0)
    assert (report["release"], report["findings"]) == (None, [])
    assert "no earlier release" in report["not_compared"]


def test_a_release_without_statistics_of_the_table_says_so_and_passes(tmp_path, caplog):
    release = publish(tmp_path / "old", None)
    report = detect(tmp_path, release, Drift(action="stop"), price=1000.0)
    assert report["findings"] == []
    assert "items" in report["not_compared"]


def test_a_damaged_release_says_so_and_passes(tmp_path):
    release = publish(tmp_path / "damaged", None)
    (release / "index" / "content").write_text("other")
    report = detect(tmp_path, release, Drift(action="stop"), price=1000.0)
    assert report["findings"] == []
    assert "is damaged" in report["not_compared"]
