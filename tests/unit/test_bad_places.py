"""Errors of wrong files and folders of a recommender: each names the path and what to do."""

import errno
import os
import sqlite3
import subprocess
import sys

import pytest
import yaml
from facts import facts, lacking

from core.errors import UsageError
from pipeline import cli, config
from pipeline.config import paths
from pipeline.lineage.database import SQLite

BASE = {"name": "shop", "data": {"root": "."}}


def load(folder, **changes):
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(BASE | changes))
    return config.load(file)


# ---- the run folder ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_folder": "a\0b"}, "line 4 … NUL"),
        ({"run_folder": [1]}, "run_folder: … string … found [1]"),
        ({"data": {"root": "a\0b"}}, "line 2 … NUL"),
        ({"data": {"root": ".", "users": {"path": "a\0.csv"}}}, "line 4 … NUL"),
        ({"data": {"root": ".", "schema_folder": 7}}, "data.schema_folder: … string … found 7"),
        (
            {"data": {"root": ".", "users": None}, "features": {"user": {"age": "numeric"}}},
            "features.user: … `data.users` … age",
        ),
    ],
)
def test_a_path_that_is_none(tmp_path, changes, message):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, **changes)
    assert lacking(str(caught.value), message) == []


def test_a_run_folder_that_is_a_file(tmp_path, capsys):
    for name in ("interactions", "users", "items"):
        (tmp_path / f"{name}.parquet").touch()
    file = tmp_path / "runs"
    file.touch()
    for folder in (file, file / "below"):
        load(tmp_path, run_folder=str(folder))
        assert cli.main(["run", str(tmp_path / "shop.yaml")]) == 2
        assert lacking(capsys.readouterr().err, f"run_folder: {file} … is a file … folder") == []
    assert file.stat().st_size == 0


def test_a_run_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    paths.check_run_folder(tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # for root every folder is writable
    with pytest.raises(UsageError, match=f"run_folder: {tmp_path} "):
        paths.check_run_folder(tmp_path / "new" / "runs")


# ---- the metadata ----


def test_a_metadata_file_that_is_damaged_or_of_another_program(tmp_path):
    file = tmp_path / "metadata.sqlite"
    SQLite(file).check()  # the file does not exist yet
    file.touch()
    SQLite(file).check()  # an empty file, as SQLite makes it
    file.write_bytes(b"no database" * 500)
    with pytest.raises(UsageError, match=facts(f"{file}: … damaged … not a database")):
        SQLite(file).check()
    with pytest.raises(UsageError, match=facts(f"{file}: … damaged")):
        SQLite(file).open()
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE invoices (number INTEGER)")
    with pytest.raises(UsageError, match=facts(f"{file}: … tables invoices")):
        SQLite(file).check()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=facts(f"{tmp_path}/folder: … not a file")):
        SQLite(tmp_path / "folder").check()


def test_a_metadata_file_with_a_damaged_page(tmp_path):
    file = tmp_path / "metadata.sqlite"
    with sqlite3.connect(file) as store:
        for table in ("MLMDEnv", "Artifact", "Execution"):
            store.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
        store.executemany("INSERT INTO Artifact (text) VALUES (?)", [("x" * 500,)] * 100)
    SQLite(file).check(deep=True)
    content = bytearray(file.read_bytes())
    content[-4096 * 2 :] = b"\xee" * (4096 * 2)
    file.write_bytes(content)
    with pytest.raises(UsageError, match=facts(f"{file}: … damaged")):
        SQLite(file).check(deep=True)


def test_a_metadata_file_that_is_in_use_is_not_damaged(tmp_path, monkeypatch):
    file = tmp_path / "metadata.sqlite"
    store = sqlite3.connect(file)
    for table in ("MLMDEnv", "Artifact", "Execution"):
        store.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
    store.commit()
    store.execute("BEGIN EXCLUSIVE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **keywords: connect(*arguments, timeout=0, **keywords))
    SQLite(file).check(deep=True)


def test_what_a_killed_run_left_half_written_is_undone(tmp_path):
    file = tmp_path / "metadata.sqlite"
    with sqlite3.connect(file) as store:
        for table in ("MLMDEnv", "Artifact", "Execution"):
            store.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
        store.executemany("INSERT INTO Artifact (text) VALUES (?)", [("x" * 500,)] * 100)
    store.close()
    write = "import os, sqlite3, sys; s = sqlite3.connect(sys.argv[1]); s.execute('PRAGMA cache_size = 1');"
    write += "s.execute('UPDATE Artifact SET text = ' + chr(39) + 'y' * 900 + chr(39)); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", write, str(file)], check=False)
    assert (tmp_path / "metadata.sqlite-journal").stat().st_size > 0
    SQLite(file).check(deep=True)
    with sqlite3.connect(file) as store:
        assert store.execute("SELECT DISTINCT substr(text, 1, 1) FROM Artifact").fetchall() == [("x",)]


# ---- frozen schemas ----


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x00\xff garbage", "invalid start byte"),
        (b"feature { nam: 'x' }", '1:11 : Message type "tensorflow.metadata.v0.Feature" has no field named "nam"'),
        (b"", "no column"),
    ],
)
def test_a_frozen_schema_that_is_none(tmp_path, content, found):
    file = tmp_path / "users.pbtxt"
    with pytest.raises(UsageError, match=facts(f"{file} … missing")):
        paths.check_schema(file)
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        paths.check_schema(file)
    assert str(file) in str(caught.value)
    assert found in str(caught.value)
    assert "twostep data freeze" in str(caught.value)


@pytest.mark.parametrize("tolerance", ["-0.1", "1", "nan"])
def test_a_tolerance_that_is_no_share(tmp_path, capsys, tolerance):
    load(tmp_path)
    assert cli.main(["data", "freeze", str(tmp_path / "shop.yaml"), f"--tolerance={tolerance}"]) == 2
    assert lacking(capsys.readouterr().err, "--tolerance … 0 … 1") == []


# ---- a full disk ----


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_named(wrapped):
    from pipeline.runners import failures

    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/part")
    if wrapped:  # as Beam and C++ libraries wrap the error
        error = RuntimeError(
            "Traceback ...\nResourceExhaustedError: /tmp/part; No space left on device [while running]"
        )
    message = str(failures.explained("Transform", error))
    assert lacking(message, "Transform … disk is full") == []
