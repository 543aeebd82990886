"""Locks on folders that other processes may create, rename and delete."""

import fcntl
import os
import shutil
import signal
import time

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


def test_a_forked_process_does_not_hold_the_lock_of_the_first(tmp_path):
    file = tmp_path / "lock"
    forked, begun = os.pipe()
    with open(file, "w") as handle, locks.kept_by_this_process(handle.fileno()):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pid = os.fork()
        if not pid:
            os.write(begun, b"1")
            time.sleep(60)
            os._exit(0)
    try:
        assert os.read(forked, 1) == b"1"
        with open(file, "w") as again:  # the first process has released its lock, and the forked one still lives
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
