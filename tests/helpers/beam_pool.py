"""A pool of workers of Beam in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import shop
from object_servers import free_port


@contextlib.contextmanager
def running(folder: Path, **variables: str) -> Iterator[str]:
    """Run a pool in the block, and yield its address.

    Args:
      folder: the working folder of its processes.
      variables: environment variables of its processes.
    """
    port = free_port()
    command = [sys.executable, "-m", "pipeline.runners.beam_workers", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(shop.ROOT), **variables}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        yield f"localhost:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
