"""The tables of a retrieval model as files."""

import mmap

import numpy as np
import pytest

from core.errors import ModelError
from trainer.retrieval import plan, table_files

LABEL = "../of a member/\n0 é"
PLAN = plan.RetrievalPlan(parts={LABEL: plan.Embedding()}, history_length=3)
TABLES = {
    plan.named("embeddings", LABEL): np.arange(12, dtype=np.float32).reshape(3, 4).T,
    plan.named("rows", LABEL): np.array([5, 6], np.int64),
    plan.named("empty", LABEL): np.zeros((0, 7), np.int32),
}


def owner(array):
    """Return what holds the values of an array."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_tables_and_plan_are_read_as_they_were_written(tmp_path):
    table_files.write(tmp_path, PLAN, TABLES)
    described, tables = table_files.read(tmp_path)
    assert described == PLAN
    assert list(tables) == list(TABLES)
    for name, table in tables.items():
        np.testing.assert_array_equal(table, TABLES[name])
        assert table.dtype == TABLES[name].dtype
    assert sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file()) == [
        "000.npy", "001.npy", "002.npy", "plan.json",
    ]  # fmt: skip


def test_values_are_those_of_the_file_and_cannot_be_changed(tmp_path):
    table_files.write(tmp_path, PLAN, TABLES)
    for table in table_files.read(tmp_path)[1].values():
        assert type(table) is np.ndarray
        assert isinstance(owner(table), mmap.mmap)
        assert not table.flags.writeable


def test_a_model_without_files_is_named(tmp_path):
    with pytest.raises(ModelError, match=f"{tmp_path}: should be a retrieval model with the file .* Make the release"):
        table_files.read(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("plan.json", b"{", "plan.json: is not a plan"),
        ("plan.json", b'{"plan": {}, "tables": []}', "plan.json: is not a plan"),
        ("001.npy", None, "001.npy: cannot be read as a table"),
        ("001.npy", b"no array", "001.npy: cannot be read as a table"),
    ],
)
def test_a_broken_file_is_named(tmp_path, file, content, message):
    table_files.write(tmp_path, PLAN, TABLES)
    path = tmp_path / table_files.FOLDER / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        table_files.read(tmp_path)


def test_a_cut_table_and_one_of_objects_are_refused(tmp_path):
    table_files.write(tmp_path, PLAN, TABLES)
    path = tmp_path / table_files.FOLDER / "000.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(ModelError, match=r"000\.npy: cannot be read as a table"):
        table_files.read(tmp_path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"000\.npy: cannot be read as a table"):
        table_files.read(tmp_path)
