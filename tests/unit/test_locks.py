"""Locks on folders that other processes may create, rename and delete."""

import fcntl
import shutil

import pytest

from core import locks


def test_a_folder_that_its_owner_deletes_while_it_is_being_locked_is_not_free(tmp_path, monkeypatch):
    partial = tmp_path / ".1.some.partial"
    partial.mkdir()
    locked = fcntl.flock

    def deleted_first(handle: int, how: int) -> None:
        shutil.rmtree(partial)
        locked(handle, how)

    monkeypatch.setattr(fcntl, "flock", deleted_first)
    locks.delete_abandoned(tmp_path)
    assert not partial.exists()


def test_a_folder_that_is_held_is_not_free_and_one_that_nobody_holds_is(tmp_path):
    with locks.shared(tmp_path), locks.try_exclusive(tmp_path) as free:
        assert not free
    with locks.try_exclusive(tmp_path) as free:
        assert free
    with locks.try_exclusive(tmp_path / "none") as free:
        assert not free


def test_a_folder_that_is_renamed_while_it_is_being_locked_is_an_error(tmp_path, monkeypatch):
    folder = tmp_path / "release"
    folder.mkdir()
    locked = fcntl.flock

    def renamed_first(handle: int, how: int) -> None:
        folder.rename(tmp_path / ".release.partial")
        locked(handle, how)

    monkeypatch.setattr(fcntl, "flock", renamed_first)
    with pytest.raises(FileNotFoundError), locks.shared(folder):
        pass
