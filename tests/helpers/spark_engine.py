"""Spark for tests: the environment in which it is found, a cluster of one worker, and the processes of Java."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import object_servers

SECONDS = 120  # for a process to start or to end


def environment() -> dict[str, str]:
    """Return PYTHONPATH and JAVA_HOME with which a fit finds pyspark and Java; both are fetched if they are missing."""
    engines = object_servers.engines()
    return {"PYTHONPATH": str(engines.built("pyspark").parents[1]), "JAVA_HOME": str(engines.java())}


def processes(text: str) -> list[int]:
    """Return the processes of Java with `text` in a word of their command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
            if words[0].endswith("java") and any(text in word for word in words):
                found.append(int(folder.name))
    return found


def wait_for_processes(text: str, there: bool) -> None:
    """Wait until there is a process of Java with `text` in its command, or none. Raises: TimeoutError."""
    end = time.monotonic() + SECONDS
    while bool(processes(text)) != there:
        if time.monotonic() > end:
            raise TimeoutError(f"{text}: {'no process' if there else 'a process is left'} after {SECONDS} s")
        time.sleep(0.2)


@contextlib.contextmanager
def master(folder: Path) -> Iterator[str]:
    """Run the master of a cluster in the block; yield its address."""
    port = object_servers.free_port()
    flags = ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    with _started(folder, flags):
        end = time.monotonic() + SECONDS
        while f"Starting Spark master at spark://127.0.0.1:{port}" not in (folder / "log").read_text():
            if time.monotonic() > end:
                raise TimeoutError((folder / "log").read_text())
            time.sleep(0.2)
        yield f"spark://127.0.0.1:{port}"


@contextlib.contextmanager
def worker(folder: Path, address: str) -> Iterator[None]:
    """Run a worker with two cores and 1 GB in the block."""
    flags = ["worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "--cores", "2", "--memory", "1g"]
    with _started(folder, [*flags, "--work-dir", str(folder / "work"), address]):
        yield


@contextlib.contextmanager
def _started(folder: Path, flags: list[str]) -> Iterator[None]:
    """Run a class below `org.apache.spark.deploy` in the block, with its output in `folder/log`."""
    folder.mkdir(exist_ok=True)
    found = environment()
    program = Path(found["PYTHONPATH"], "pyspark", "bin", "spark-class")
    command = [str(program), f"org.apache.spark.deploy.{flags[0]}", *flags[1:]]
    with open(folder / "log", "wb") as log:
        variables = os.environ | found | {"SPARK_LOCAL_IP": "127.0.0.1"}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)
