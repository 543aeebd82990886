"""A task whose Beam steps may run on other machines: its places are handed on, and a failure leaves nothing there."""

import json
from pathlib import Path

import pytest

from core.errors import DataError
from pipeline.config.data import Spans
from pipeline.runners.compiled.staging import Staging
from pipeline.sources import tables


@pytest.fixture
def output(tmp_path):
    """Return the place of an output with a file that an earlier attempt left."""
    folder = tmp_path / "store" / "ItemGen" / "examples"
    (folder / "Split-all").mkdir(parents=True)
    (folder / "Split-all" / "left").write_text("")
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_places_are_handed_on_and_nothing_is_fetched_or_uploaded(tmp_path, output):
    staging = Staging(tmp_path / "task", None, [str(output)], in_place=True)
    staging.fetch("s3://no-such-bucket/input")
    staging.begin()
    assert staging.local("s3://bucket/input") == "s3://bucket/input"
    assert files(output) == []
    (output / "made").write_text("")
    staging.publish()
    assert files(output) == ["made"]
    assert not (tmp_path / "task").exists()


def test_a_failed_task_deletes_its_output_and_no_other(output):
    staging = Staging(output, None, [str(output)], in_place=True)
    beside = output.with_name("examples-of-another")
    beside.mkdir()
    (beside / "made").write_text("")
    (output / "half").write_text("")
    staging.fail()
    assert files(output.parent) == ["examples-of-another/made"]


def test_a_failed_task_with_folders_leaves_the_output_to_its_launcher(tmp_path, output):
    Staging(tmp_path, tmp_path / "mounts", [str(output)]).fail()
    assert files(output) == ["Split-all/left"]


def test_tables_are_copied_beside_the_output_for_as_long_as_they_are_read(tmp_path, output):
    data = tmp_path / "data"
    for name in ("1/items.csv", "2/items.csv"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text(name)
    parameters = {
        "input_base": str(data), "input_config": json.dumps({"splits": [{"pattern": "*"}]}),
        "custom_config": json.dumps({"custom_config": {"value": {}}}),
    }  # fmt: skip
    staging = Staging(tmp_path / "task", None, [str(output)], in_place=True)
    staging.begin()
    staging.stage_parameters(parameters, {"tables": json.dumps({"items": {"items": "*/items.csv"}})})
    names = json.loads(parameters["input_config"])["splits"][0]["pattern"].split("\n")
    assert [Path(parameters["input_base"], name).read_text() for name in names] == ["1/items.csv", "2/items.csv"]
    assert Path(parameters["input_base"]).parent == output
    assert json.loads(parameters["custom_config"])["custom_config"]["value"]["origins"] == [
        str(data / "1" / "items.csv"), str(data / "2" / "items.csv"),
    ]  # fmt: skip
    staging.publish()
    assert files(output) == []


def test_a_table_without_files_is_left_to_its_reader(tmp_path):
    place = str(tmp_path / "place")
    with (
        tables.shared("items", {"items": "*.csv"}, Spans(), tmp_path, place, tmp_path / "cache") as source,
        pytest.raises(DataError, match=r"no file matches '\*\.csv'"),
    ):
        source.files()
