"""`twostep serve` in a process of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core import names
from core.files import read_json
from core.release import reader, writer
from serving.client import Client

ROOT = Path(__file__).parents[2]


@dataclass
class Serving:
    """A server that runs.

    Args:
      process: its process.
      url: the URL it answers at.
    """

    process: subprocess.Popen
    url: str

    def client(self, token: str | None = None) -> Client:
        """Return a client of the server."""
        return Client(self.url, token, seconds=60)


@contextlib.contextmanager
def serving(*arguments: object, token: str | None = None, **settings: object) -> Iterator[Serving]:
    """Run `twostep serve` on a free port in the block; it is told to end after it, and must end well.

    Without the setting `budget_ms` answers have a minute, so that they do not depend on the load of the machine.
    """
    given = [f"--set={key}={value}" for key, value in ({"budget_ms": 60_000} | settings).items()]
    command = [sys.executable, "-m", "pipeline.cli", "serve", *map(str, arguments), *given, "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "TWOSTEP_TOKEN"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"TWOSTEP_TOKEN": token} if token else {})
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+:\d+", line)
            assert found, line
            yield Serving(process, found[0])
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
        finally:
            process.kill()


def published(releases: Path, **serving_settings: object) -> str:
    """Publish a copy of the release in force with other serving settings, and return its version."""
    folder = reader.resolve(releases)
    parts = {name: folder / name for name in (*reader.FOLDERS, *reader.FILES)}
    facts = read_json(folder / names.MANIFEST_FILE)["facts"]
    return writer.publish(releases, parts, facts | {"serving": facts["serving"] | serving_settings})
