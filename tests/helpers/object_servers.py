"""Real servers of objects on free ports of the loopback interface: versitygw for S3 and fake-gcs-server for GCS."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import core

ACCESS, SECRET = "test-access", "test-secret-key"
BUCKET = "releases"
SECONDS = 30  # for a server to answer


@dataclass(frozen=True)
class Server:
    """A running server.

    Args:
      scheme: the scheme of its URIs.
      port: its port.
      folder: the folder that holds the objects of versitygw as files; empty for fake-gcs-server.
    """

    scheme: str
    port: int
    folder: Path

    def environment(self, port: int | None = None) -> dict[str, str]:
        """Return the environment variables by which clients find the server, or a proxy at `port` before it."""
        url = f"http://127.0.0.1:{port or self.port}"
        if self.scheme == "gs":
            return {"STORAGE_EMULATOR_HOST": url}
        return {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


def engines() -> ModuleType:
    """Return the module scripts/engines.py."""
    file = Path(core.__file__).resolve().parents[1] / "scripts" / "engines.py"
    spec = importlib.util.spec_from_file_location("engines", file)
    if spec is None or spec.loader is None:
        raise ImportError(file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def running(scheme: str, folder: Path) -> Iterator[Server]:
    """Run the server of a scheme in the block, with one empty bucket. `folder` is for its files."""
    port = free_port()
    if scheme == "s3":
        buckets = folder / "buckets"
        (buckets / BUCKET).mkdir(parents=True)
        program = engines().built("versitygw")
        flags = ["--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{port}", "posix", str(buckets)]
    else:
        buckets, program, host = folder, engines().built("fake-gcs-server"), f"127.0.0.1:{port}"
        flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", host]
        flags += ["-external-url", f"http://{host}", "-backend", "memory"]
    with served([str(program), *flags], port, folder, dict(os.environ)):
        if scheme == "gs":
            _create_bucket(port)
        yield Server(scheme, port, buckets)


@contextlib.contextmanager
def served(command: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a server in the block, which begins when it answers on its port. `folder` is for its log."""
    log = folder / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment)
    try:
        _wait(process, port, log)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    """Wait until a server answers. Raises: RuntimeError if it ends or does not answer, with its output."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args}: does not answer on port {port}:\n{log.read_text()[-2000:]}")


def _create_bucket(port: int) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/storage/v1/b?project=test",
        data=f'{{"name": "{BUCKET}"}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def use(environment: dict[str, str]) -> None:
    """Set environment variables in a child process."""
    os.environ.update(environment)
