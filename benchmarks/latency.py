"""The latency of `twostep serve` under an open load, beside a bare endpoint of the same server.

    python benchmarks/latency.py RELEASES [--rate R …] [--seconds S] [--k K]

Requests arrive at random times (Poisson), whether or not earlier ones are answered, and a latency counts from the time
at which a request should have been sent. Server and generator share the cores. Users are drawn from the release. The
engine alone is called for one user after the other, without HTTP.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core import names
from core.arrow import read_arrow
from core.release import reader
from pipeline.commands import release_source
from serving import models
from serving.recommender import Recommender
from serving.requests import Request
from serving.stores.sql import SqlStore, sqlite_url

ROOT = Path(__file__).resolve().parents[1]
BARE = """
import socket, uvicorn
from fastapi import FastAPI
app = FastAPI()

@app.post("/v1/recommend")
async def recommend() -> dict:
    return {"items": []}

listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
"""
USERS, SEED = 500, 42


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[tuple[str, int]]:
    """Run a server in the block, and yield its host and port."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found is None:
            raise SystemExit(f"{' '.join(command)} did not start: {line}")
        yield found[1], int(found[2])
    finally:
        process.terminate()
        process.wait()


class Connections:
    """Connections to one server that are kept open; there are as many as requests at one time."""

    def __init__(self, host: str, port: int):
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes, bytes]:
        """Send a request, read the whole answer, and return its status, head and body."""
        while self._idle and self._idle[-1][0].at_eof():  # the server closed it
            self._idle.pop()
        if self._idle:
            stream, writer = self._idle.pop()
        else:
            stream, writer = await asyncio.open_connection(self._host, self._port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        header = await stream.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", header, re.IGNORECASE)[1])
        answer = await stream.readexactly(length)
        self._idle.append((stream, writer))
        return int(header.split(b" ", 2)[1]), header, answer


async def load(host: str, port: int, bodies: list[bytes], rate: float, seconds: float) -> tuple[np.ndarray, int]:
    """Return the latencies of requests that arrive at random times, in seconds, and the number of failed ones."""
    random = np.random.default_rng(SEED)
    arrivals = np.cumsum(random.exponential(1 / rate, int(rate * seconds)))
    connections, latencies, failed = Connections(host, port), [], 0
    began = time.perf_counter()

    async def one(body: bytes, due: float) -> None:
        nonlocal failed
        status, _, _ = await connections.post("/v1/recommend", body)
        latencies.append(time.perf_counter() - began - due)
        failed += status != 200

    tasks = []
    for body, due in zip(random.choice(bodies, len(arrivals)), arrivals, strict=True):
        await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
        tasks.append(asyncio.create_task(one(bytes(body), due)))
    await asyncio.gather(*tasks)
    return np.array(latencies), failed


def of_server(command: list[str], bodies: list[bytes], rates: list[float], seconds: float) -> list[list[float]]:
    """Return p50, p95, p99 in ms and the number of failed requests of a server at each rate."""
    rows = []
    with running(command) as (host, port):
        asyncio.run(load(host, port, bodies, 20, 3))
        for rate in rates:
            latencies, failed = asyncio.run(load(host, port, bodies, rate, seconds))
            rows.append([*(1000 * np.percentile(latencies, [50, 95, 99])), failed])
    return rows


def of_engine(folder: Path, users: list[str], k: int) -> np.ndarray:
    """Return the seconds of each answer of the engine and a store, one user after the other."""
    with tempfile.TemporaryDirectory() as temporary:
        store = SqlStore(sqlite_url(Path(temporary) / "store.sqlite"))
        recommender = Recommender("", folder, models.of_release(folder), store, {})
        seconds = []
        for user in [*users[:50], *users]:
            began = time.perf_counter()
            recommender.recommend([Request(user, k, int(time.time()))])
            seconds.append(time.perf_counter() - began)
        store.close()
    return np.array(seconds[50:])


def some_users(folder: Path) -> list[str]:
    """Return the ids of users of a release, drawn at random."""
    files = sorted((folder / names.USERS_FOLDER).glob("*.arrow"))
    every = np.concatenate([read_arrow(file)[names.USER_ID].to_numpy() for file in files])
    return np.random.default_rng(SEED).choice(every, min(USERS, len(every)), replace=False).tolist()


def main() -> None:
    """Print the latencies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("releases", type=Path, help="the folder of releases, or a configuration")
    parser.add_argument("--rate", type=float, nargs="+", default=[50, 100], help="requests per second (50 100)")
    parser.add_argument("--seconds", type=float, default=20, help="the time of each rate (20)")
    parser.add_argument("-k", type=int, default=10, help="the number of items (10)")
    given = parser.parse_args()
    releases = Path(release_source.find(given.releases).location)
    folder = reader.resolve(releases)
    users = some_users(folder)
    bodies = [json.dumps({"user": user, "k": given.k}).encode() for user in users]
    seconds = 1000 * of_engine(folder, users, given.k)
    print(f"engine and store alone: p50 {np.median(seconds):.1f} ms, p99 {np.percentile(seconds, 99):.1f} ms\n")
    print("| server | requests/s | p50, ms | p95, ms | p99, ms | failed |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        serve = [sys.executable, "-m", "pipeline.cli", "serve", str(releases), "--port", "0"]
        serve += ["--store", f"sqlite:{temporary}/store.sqlite"]
        for name, command in (("bare", [sys.executable, "-c", BARE]), ("twostep", serve)):
            for rate, row in zip(given.rate, of_server(command, bodies, given.rate, given.seconds), strict=True):
                print(f"| {name} | {rate:g} | {row[0]:.1f} | {row[1]:.1f} | {row[2]:.1f} | {row[3]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
