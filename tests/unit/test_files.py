"""The atomic writing of files and folders, and digests of files."""

import hashlib

import pytest

from core import files


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def _write_half(path):
    path.write_text("half")
    raise RuntimeError("cut off")


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "file"
    with files.replacing(target) as partial:
        partial.write_text("half")
        assert not target.exists()
        assert partial.parent == target.parent  # in the same folder, so that the move is an atomic rename
        partial.write_text("whole")
    assert target.read_text() == "whole"
    assert listed(target.parent) == ["file"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as partial:
        _write_half(partial)
    assert target.read_text() == "old"
    assert listed(tmp_path) == ["file"]


def test_a_block_that_writes_nothing_fails_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), files.replacing(target):
        pass
    assert target.read_text() == "old"


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with files.replacing_folder(target) as partial:
            (partial / content).write_text(content)
            (partial / "below").mkdir()
            assert not (target / content).exists()
        assert listed(target) == ["below", content]
        assert listed(tmp_path) == ["folder"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_failure_leaves_the_old_folder_and_no_rest(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), files.replacing_folder(target) as partial:
        _write_half(partial / "new")
    assert listed(target) == ["old"]
    assert listed(tmp_path) == ["folder"]


def test_json_is_read_as_it_was_written_and_the_same_each_time(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"name": "Amélie"}}
    files.write_json(tmp_path / "one.json", value)
    files.write_json(tmp_path / "two.json", dict(reversed(value.items())))
    assert files.read_json(tmp_path / "one.json") == value
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert "Amélie" in (tmp_path / "one.json").read_text(encoding="utf-8")


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    files.write_json(tmp_path / "one.json", 1)
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "one.json", {"a": object()})
    assert files.read_json(tmp_path / "one.json") == 1
    assert listed(tmp_path) == ["one.json"]


def test_digests_of_all_files_below_by_relative_path(tmp_path):
    (tmp_path / "b").mkdir()
    contents = {"b/c": b"one", "a": b"", "b.txt": b"\x00" * 100_000}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = files.folder_digests(tmp_path)
    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert found["a"] == files.sha256(tmp_path / "a")
