"""A real server of Redis on a free port of the loopback interface, from the system's program."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

PASSWORD = "p:w@/ #%"  # with all that a URL gives a meaning to
QUOTED = "p%3Aw%40%2F%20%23%25"


def program() -> str:
    """Return the program of Redis. Raises: RuntimeError if it is not installed."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise RuntimeError("redis-server: not found. Install Redis, for example with `apt-get install redis-server`")
    return found


class Server:
    """A server of Redis that can be stopped and started again.

    Args:
      folder: the folder of its files.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.client = redis.Redis(port=self.port, password=PASSWORD)
        self.process: subprocess.Popen | None = None

    def url(self, number: int = 0, port: int | None = None) -> str:
        """Return the URL of a database."""
        return f"redis://:{QUOTED}@127.0.0.1:{port or self.port}/{number}"

    def start(self) -> None:
        """Start the server, with the entries that it saved last; wait until it answers."""
        command = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        self.process = subprocess.Popen([*command, "--requirepass", PASSWORD], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(redis.ConnectionError):
                self.client.ping()
                return
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server at once, as at a loss of power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let the server say nothing in the block, while its connections stay open."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def texts(self) -> str:
        """Return all keys and values of all its databases."""
        found = []
        for number in range(16):
            with redis.Redis(port=self.port, password=PASSWORD, db=number) as client:
                found += [f"{key!r} {client.dump(key)!r} {client.get(key)!r}" for key in client.scan_iter()]
        return "\n".join(found)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a server in the block, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="twostep-redis-") as folder:
        server = Server(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.client.close()
            server.stop()
