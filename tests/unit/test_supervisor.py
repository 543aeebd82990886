"""The process that keeps workers running, with workers that serve nothing."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import workers

from core.errors import TwostepError, UsageError
from serving.server import listening, supervisor
from serving.server.settings import ServerSettings
from serving.server.supervisor import Supervisor

WAIT_S = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(supervisor, "END_S", 5)


def until(seen):
    end = time.monotonic() + WAIT_S
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


class Running:
    """A supervisor of two workers, which is told to end when `test` returns.

    Args:
      target: what the workers do.
      folder: an empty folder that they are given.
    """

    def __init__(self, target, folder):
        self.folder, self.ready, self.ended, self.processes = folder, [], [], []
        self._target, self._context = target, multiprocessing.get_context("spawn")

    def run(self, test=lambda: None):
        failures = []

        def beside():
            try:
                until(lambda: self.ready)
                test()
            except BaseException as error:
                failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=beside)

        def ready(version):
            self.ready.append(version)

        thread.start() if test is not None else None
        Supervisor(self._start, 2, self.ended.append).run(ready)
        thread.join() if test is not None else None
        for each in failures:
            raise each

    def _start(self, number):
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(number, self.folder, theirs))
        process.start()
        theirs.close()
        self.processes.append(process)
        return process, ours


def test_a_worker_that_ends_is_started_again_and_all_end_in_order(tmp_path):
    running = Running(workers.obedient, tmp_path)

    def test():
        (tmp_path / "die 0").touch()
        until(lambda: len(list(tmp_path.glob("process 0 *"))) == 2)
        os.kill(running.processes[1].pid, signal.SIGKILL)
        until(lambda: len(list(tmp_path.glob("process 1 *"))) == 2)

    running.run(test)
    assert running.ready == ["a version"]  # told once
    assert running.ended == [running.processes[0].pid, running.processes[1].pid]
    assert not any(process.is_alive() for process in running.processes)


def test_changed_items_are_told_to_the_others_alone(tmp_path):
    def test():
        (tmp_path / "change 1").touch()
        until(lambda: (tmp_path / "looks 0").exists())
        time.sleep(0.05)

    Running(workers.obedient, tmp_path).run(test)
    assert (tmp_path / "looks 0").read_text() == "x"
    assert not (tmp_path / "looks 1").exists()


def test_an_error_of_a_worker_before_any_is_ready_is_that_of_the_command(tmp_path):
    with pytest.raises(TwostepError, match=r"^the release is damaged$") as error:
        Running(workers.refusing, tmp_path).run(None)
    assert error.value.exit_code == 2


def test_workers_that_never_become_ready_are_given_up(tmp_path):
    with pytest.raises(TwostepError, match="no worker became ready after 3 attempts: it ended with code 5"):
        Running(workers.dying, tmp_path).run(None)
    assert 3 <= len((tmp_path / "attempts").read_text()) <= 2 * supervisor.ATTEMPTS


def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    program = f"""
        import sys
        sys.path.insert(0, {str(os.path.dirname(workers.__file__))!r})
        from pathlib import Path
        import multiprocessing, workers
        from serving.server.supervisor import Supervisor

        def start(number):
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=workers.obedient, args=(number, Path({str(tmp_path)!r}), theirs))
            process.start()
            theirs.close()
            return process, ours

        if __name__ == "__main__":
            Supervisor(start, 2, print).run(lambda version: print(version, flush=True))
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(program))
    process = subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "a version\n"
    ids = [int(path.name.split()[-1]) for path in tmp_path.glob("process *")]
    assert len(ids) == 2
    process.kill()
    process.wait()
    until(lambda: not any(running(each) for each in ids))


def running(process_id):
    """Return whether a process runs; one that ended, and waits for being looked at by its parent, does not."""
    try:
        with open(f"/proc/{process_id}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- sockets and settings ----


def test_connections_of_a_reserved_address_go_to_listening_workers_alone():
    with listening.reserved("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with listening.of_worker("127.0.0.1", port) as one, listening.of_worker("127.0.0.1", port) as other:
            connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
            accepted = []
            for each in (one, other):
                each.setblocking(False)
                accepted.append(0)
                while True:
                    try:
                        each.accept()[0].close()
                    except BlockingIOError:
                        break
                    accepted[-1] += 1
            assert sum(accepted) == 60
            assert min(accepted) > 10
            for each in connections:
                each.close()


def test_another_server_cannot_have_the_address_of_workers():
    with listening.reserved("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
        with listening.of_worker("127.0.0.1", port):
            for bind in (listening.reserved, listening.alone):
                with pytest.raises(UsageError, match=f"--port {port}: cannot be listened on"):
                    bind("127.0.0.1", port)


def test_workers_share_a_rate():
    settings = ServerSettings(workers=4, requests_per_s=100, burst=10)
    assert (settings.of_worker().rate, settings.of_worker().burst) == (25, 3)
    assert ServerSettings(workers=4).of_worker().rate is None
    assert ServerSettings(workers=4, requests_per_s=0).of_worker().rate is None
    public = ServerSettings(workers=2, host="0.0.0.0", token="a token of the tests")
    assert public.of_worker().rate == 500
