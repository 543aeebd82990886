"""A server under load while releases change, its database goes and comes, clients hang up, and it is killed.

    python benchmarks/soak.py RELEASES [--minutes M] [--swaps N] [--rate R] [--workers N] [--postgresql] [--json FILE]

Requests arrive at random times (Poisson), whether or not earlier ones are answered: four in five are `recommend`, the
others send one event each. The release in force changes from one of two releases to the other; with `--postgresql` the
database is stopped at once twice. At the end the server is killed and started again under the load. It is an error if

- an answer has a status above 499, but 503 with Retry-After for an event while the database is away,
- an event that was accepted is not in the database, or
- the memory of the server (PSS of all its processes) at the end is 5 % above that after a fifth of the time.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from latency import Connections, some_users
from memory import of_process

from core import names
from core.arrow import read_arrow
from core.release import reader, store
from pipeline.commands import release_source

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
import database_servers  # noqa: E402
from serving_process import published  # noqa: E402

SAMPLE_S, HANG_UP_S, AWAY_S, GRACE_S = 2.0, 0.5, 10.0, 15.0
GROWTH = 1.05


class Database:
    """The database of the server: a file of SQLite, or a server of PostgreSQL.

    Args:
      folder: the folder of the file.
      server: the server; None for SQLite.
    """

    def __init__(self, folder: Path, server: Any = None):
        self._file, self._server = folder / "store.sqlite", server
        self.down: list[tuple[float, float]] = []  # when the database was away

    @property
    def url(self) -> str:
        """Return the URL for `--store`."""
        if self._server is None:
            return f"sqlite:{self._file}"
        password = quote(database_servers.PASSWORD, safe="")
        return f"postgresql://{database_servers.USER}:{password}@127.0.0.1:{self._server.port}/postgres"

    async def away(self) -> None:
        """Stop the database for some seconds, if it is a server."""
        if self._server is None:
            return
        began = time.monotonic()
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(self._server.start)
        self.down.append((began, time.monotonic() + GRACE_S))  # until the server has looked at it again

    def events(self) -> set[str]:
        """Return the ids of all events."""
        if self._server is not None:
            return set(self._server.ask("SELECT id FROM events"))
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            return {each for (each,) in connection.execute("SELECT id FROM events")}


class Server:
    """A process of `twostep serve` that can be killed.

    Args:
      releases: the folder of releases.
      url: the URL of the database.
      workers: the number of workers.
    """

    def __init__(self, releases: Path, url: str, workers: int):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "pipeline.cli", "serve", str(releases), "--store", url]
        self._command = [*command, "--port", str(self.port), "--workers", str(workers), "--set", "budget_ms=2000"]
        self.down: list[tuple[float, float]] = []
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it is ready."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        line = self.process.stdout.readline()
        if not re.search(r"http://", line):
            raise SystemExit(f"the server did not start: {line}")

    def processes(self) -> list[int]:
        """Return the ids of all processes of the server."""
        found, waiting = [], [self.process.pid]
        while waiting:
            found.append(waiting.pop())
            with contextlib.suppress(FileNotFoundError):
                waiting += map(int, Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split())
        return found

    def memory(self) -> dict[str, float]:
        """Return the memory of all processes together, in MiB."""
        total = Counter()
        for each in self.processes():
            with contextlib.suppress(OSError):
                total.update(of_process(each))
        return dict(total)

    async def killed(self) -> None:
        """Kill the server and start it again."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        await asyncio.to_thread(self.start)
        self.down.append((began, time.monotonic() + 1))

    def end(self) -> int:
        """Tell the server to end, and return its exit code."""
        self.process.terminate()
        return self.process.wait(60)


class Soak:
    """The load, what happens beside it, and what was seen.

    Args:
      server, database: both.
      versions: the two releases.
      location: their folder.
      users, items: ids to ask and to send events for.
      given: the arguments of the command.
    """

    def __init__(self, server: Server, database: Database, versions: list[str], location: Path, users, items, given):
        self.server, self.database, self.given = server, database, given
        self._releases, self._versions, self._users, self._items = store.open_store(location), versions, users, items
        self.statuses: Counter[str] = Counter()
        self.degraded: Counter[str] = Counter()
        self.latencies: list[tuple[float, float]] = []  # when a query was due, and the seconds until its answer
        self.accepted: list[str] = []
        self.faults: list[tuple[float, str]] = []
        self.refused: list[float] = []  # when events were due that were refused as the database was away
        self.unanswered: list[float] = []
        self.samples: list[tuple[float, dict[str, float]]] = []
        self.swapped = self.hung_up = 0
        self._random = random.Random(42)

    async def run(self) -> None:
        """Run everything."""
        self.began, seconds = time.monotonic(), 60 * self.given.minutes
        beside = [asyncio.create_task(each) for each in (self._sampled(), self._hanging_up())]
        load = asyncio.create_task(self._load(seconds + 30))
        main = [self._swapping(seconds)]
        main += [self._after(share * seconds, self.database.away()) for share in (0.35, 0.7)]
        await asyncio.gather(*main)
        for each in beside:
            each.cancel()
        await self.server.killed()
        await load

    async def _after(self, seconds: float, what: Any) -> None:
        await asyncio.sleep(seconds)
        await what

    async def _swapping(self, seconds: float) -> None:
        for number in range(self.given.swaps):
            await asyncio.sleep(seconds / (self.given.swaps + 1))
            await asyncio.to_thread(self._releases.rollback, self._versions[number % 2])
            self.swapped += 1
        await asyncio.sleep(max(0.0, self.began + seconds - time.monotonic()))

    async def _sampled(self) -> None:
        while True:
            self.samples.append((time.monotonic() - self.began, self.server.memory()))
            await asyncio.sleep(SAMPLE_S)

    async def _hanging_up(self) -> None:
        """Send a part of a request, or all of it, and reset the connection."""
        body = json.dumps({"user": self._users[0], "k": 10}).encode()
        whole = b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
                writer.write(whole[: self._random.randint(1, len(whole))])
                await writer.drain()
                writer.transport.abort()
                self.hung_up += 1
            await asyncio.sleep(HANG_UP_S)

    async def _load(self, seconds: float) -> None:
        connections, tasks, due = Connections("127.0.0.1", self.server.port), set(), time.monotonic()
        number = 0
        while (due := due + self._random.expovariate(self.given.rate)) < self.began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number += 1
            task = asyncio.create_task(self._one(connections, number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _one(self, connections: Connections, number: int, due: float) -> None:
        user, is_event = self._random.choice(self._users), number % 5 == 0
        event = {"id": f"soak {number}", "user": user, "item": self._random.choice(self._items)}
        path = "/v1/events" if is_event else "/v1/recommend"
        body = {"events": [event]} if is_event else {"user": user, "k": 10}
        try:
            async with asyncio.timeout(60):
                status, head, answer = await connections.post(path, json.dumps(body).encode())
        except (OSError, EOFError, TimeoutError) as error:
            self.unanswered.append(due)
            self.statuses[f"{path} {type(error).__name__}"] += 1
            return
        self.statuses[f"{path} {status}"] += 1
        if is_event and status == 202:
            self.accepted.append(event["id"])
        if not is_event:
            self.latencies.append((due, time.monotonic() - due))
        if path == "/v1/recommend" and status == 200:
            self.degraded[str(json.loads(answer)["degraded"])] += 1
        if status >= 500 and not (is_event and status == 503 and b"retry-after" in head.lower()):
            self.faults.append((due, f"{path} {status}: {answer[:200].decode()}"))
        elif status >= 500:
            self.refused.append(due)

    def problems(self) -> list[str]:
        """Return what should not have happened."""
        found = [text for _, text in self.faults[:5]]
        lost = set(self.accepted) - self.database.events()
        if lost:
            found.append(f"{len(lost)} accepted events are not in the database, such as {min(lost)}")
        refused = [due for due in self.refused if not _within(due, self.database.down)]
        if refused:
            found.append(f"{len(refused)} events were refused while the database was there")
        alone = [due for due in self.unanswered if not _within(due, self.server.down)]
        if alone:
            found.append(f"{len(alone)} requests had no answer while the server was not killed")
        first, last = self.memory("pss")
        if last > GROWTH * first:
            found.append(f"the memory grew from {first:.0f} to {last:.0f} MiB")
        return found

    def memory(self, key: str) -> tuple[float, float]:
        """Return the median memory in the second fifth and in the last fifth of the time, in MiB."""
        total = 60 * self.given.minutes
        parts = ([], [])
        for at, sample in self.samples:
            if total / 5 <= at < 2 * total / 5:
                parts[0].append(sample[key])
            if at >= 4 * total / 5:
                parts[1].append(sample[key])
        return tuple(float(np.median(part)) for part in parts)


def _within(at: float, times: list[tuple[float, float]]) -> bool:
    """Return whether a time is in one of some ranges, or a second before it."""
    return any(began - 1 <= at <= end for began, end in times)


@contextlib.contextmanager
def _database(folder: Path, is_server: bool) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        yield Database(folder, stack.enter_context(database_servers.running()) if is_server else None)


def main() -> int:
    """Run, print what was seen, and return 1 if something should not have happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("releases", type=Path, help="the folder of releases, or a configuration")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=10, help="requests per second (10)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="a server of PostgreSQL, which is stopped twice")
    parser.add_argument("--json", type=Path, help="a file for what was seen")
    given = parser.parse_args()
    source = reader.resolve(Path(release_source.find(given.releases).location))
    with tempfile.TemporaryDirectory(prefix="twostep-soak-") as temporary:
        folder = Path(temporary)
        releases = folder / "releases"
        releases.mkdir()
        shutil.copytree(source, releases / source.name)
        (releases / "current").write_text(source.name + "\n")
        candidates = json.loads((source / names.MANIFEST_FILE).read_text())["facts"]["serving"]["candidates"]
        versions = [source.name, published(releases, candidates=candidates - 1)]
        items = read_arrow(source / names.CATALOGUE_FILE)[names.ITEM_ID].to_pylist()
        with _database(folder, given.postgresql) as database:
            server = Server(releases, database.url, given.workers)
            soak = Soak(server, database, versions, releases, some_users(source), items, given)
            try:
                asyncio.run(soak.run())
            finally:
                code = server.end()
            problems = soak.problems() + ([f"the server ended with {code}"] if code else [])
    (pss, last_pss), (rss, last_rss) = soak.memory("pss"), soak.memory("rss")
    latencies = [seconds for due, seconds in soak.latencies if not _within(due, server.down)]
    p50, p95, p99 = 1000 * np.percentile(latencies, [50, 95, 99])
    seen = {
        "minutes": given.minutes, "swaps": soak.swapped, "workers": given.workers, "hung_up": soak.hung_up,
        "database": "postgresql" if given.postgresql else "sqlite", "statuses": dict(soak.statuses),
        "degraded": dict(soak.degraded), "accepted": len(soak.accepted), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
        "pss_mib": [pss, last_pss], "rss_mib": [rss, last_rss], "problems": problems,
        "samples": [[round(at), round(sample["pss"])] for at, sample in soak.samples],
    }  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(seen, indent=1) + "\n")
    print("| | |\n|---|---|")
    for key, value in seen.items():
        if key != "samples":
            shown = ", ".join(f"{name}: {count}" for name, count in value.items()) if isinstance(value, dict) else value
            print(f"| {key} | {f'{shown:.1f}' if isinstance(shown, float) else shown} |")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
