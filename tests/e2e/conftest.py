"""Fixtures of the end-to-end tests: one run of the whole DAG on a slice of MovieLens-100K, and ways to run commands."""

import copy
import multiprocessing
import multiprocessing.forkserver
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

TIMEOUT_S = 600
STATES = {"✓": "done", "=": "cached", "-": "skipped", "✗": "failed"}

CONFIG: dict[str, Any] = {
    "name": "slice",
    "data": {
        "root": "data",
        "interactions": {"path": "interactions.parquet", "rating_range": [1, 5]},
        "impressions": {"path": "impressions.parquet", "on_unknown": "drop", "on_duplicate": "keep"},
        "title": "title",
        "owner": "title",  # so that a user with the title of a film as id owns it
    },
    "features": {
        "user": {"age": {"kind": "numeric", "buckets": 4}, "gender": "categorical", "occupation": "categorical"},
        "item": {"genres": "multi_valued", "year": {"kind": "numeric", "buckets": 4}, "released": "timestamp"},
    },
    "split": {"method": "temporal_per_user"},
    "retrieval": {"candidates": 50, "params": {"epochs": 6}},
    "ranking": {"params": {"epochs": 6}, "negatives": {"impressions": 0.1}, "earlier_windows": 1},
    "evaluation": {"slices": ["gender"], "at": [10, 20, 50], "resamples": 200},
}


@dataclass(frozen=True)
class Done:
    """The exit code of a finished command (negative: the signal that ended it), its stdout and its stderr."""

    code: int
    out: str
    err: str

    @property
    def nodes(self) -> dict[str, str]:
        """Return node → its state, read from the lines of progress, in the order in which the nodes finished."""
        lines = re.findall(rf"^([{re.escape(''.join(STATES))}]) (\w+) ", self.out, flags=re.MULTILINE)
        return {node: STATES[mark] for mark, node in lines}

    def named(self, state: str) -> set[str]:
        """Return the nodes in a state."""
        return {node for node, found in self.nodes.items() if found == state}


# The code of a forked process: redirect stdout and stderr to files, change to a folder, and run a command.
FORKED = """
import os, sys
for descriptor, file in ((1, out), (2, err)):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
sys.stdout, sys.stderr = (os.fdopen(each, "w", closefd=False, encoding="utf-8") for each in (1, 2))
os.chdir(folder)
from pipeline import cli
code = cli.main(argv)
sys.stdout.flush()
sys.exit(code)
"""


class Forked:
    """A command that runs in a forked process."""

    def __init__(self, context: Any, argv: list[str], folder: Path, streams: Path):
        """Start the command; `streams` is the path, without suffix, of the files for stdout and stderr."""
        self.out, self.err = streams.with_suffix(".out"), streams.with_suffix(".err")
        variables = {"argv": argv, "folder": str(folder), "out": str(self.out), "err": str(self.err)}
        self.process = context.Process(target=exec, args=(FORKED, variables), daemon=True)
        self.process.start()

    def wait(self) -> Done:
        self.process.join(TIMEOUT_S)
        assert self.process.exitcode is not None, f"still runs after {TIMEOUT_S} s:\n{self.out.read_text()}"
        return Done(self.process.exitcode, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))

    def signal_when(self, number: int, seen: Callable[[], bool]) -> Done:
        """Send the signal `number` to the command as soon as `seen` returns True, and wait for its end."""
        until = time.monotonic() + TIMEOUT_S
        while not seen():
            assert self.process.is_alive(), f"ended before it was seen:\n{self.out.read_text()}{self.err.read_text()}"
            assert time.monotonic() < until, f"not seen in {TIMEOUT_S} s:\n{self.out.read_text()}"
            time.sleep(0.02)
        os.kill(self.process.pid, number)
        return self.wait()


class Twostep:
    """The command line; each call runs in a separate process.

    `run` starts the installed command, as a user does, which takes 17 s to import TFX. `fork` is faster: it forks a
    process that has already imported TFX and done nothing else.
    """

    def __init__(self, root: Path, folder: Path):
        self.folder, self.temporary, self._count = folder, folder / "temporary", 0
        self.temporary.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(self.temporary)}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["imported_once"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests/helpers")]))
            patch.setenv("TMPDIR", str(folder))
            multiprocessing.forkserver.ensure_running()

    def run(self, *argv: object, folder: Path) -> Done:
        command = [str(Path(sys.executable).with_name("twostep")), *map(str, argv)]
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *argv: object, folder: Path) -> Forked:
        self._count += 1
        return Forked(self._context, [*map(str, argv)], folder, self.folder / f"{self._count}")

    def process(self, target: Callable[..., None], *arguments: object) -> Any:
        """Return a started process that calls `target` and has already imported TFX."""
        process = self._context.Process(target=target, args=arguments)
        process.start()
        return process

    def fork(self, *argv: object, folder: Path) -> Done:
        return self.start(*argv, folder=folder).wait()


@dataclass(frozen=True)
class Recommender:
    """A folder with tables and configurations and, below `runs`, the outputs of their runs."""

    folder: Path
    base: dict[str, Any]
    future: str
    shown: str

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def releases(self) -> Path:
        return self.runs / "releases"

    def current(self) -> str:
        return (self.releases / "current").read_text().strip()

    def config(self, file: str = "slice.yaml", **changes: Any) -> Path:
        """Write the base configuration with changes, merged into its mappings; a value of None removes the key."""
        path = self.folder / file
        path.write_text(yaml.safe_dump(_merged({**self.base, "run_folder": str(self.runs)}, changes), sort_keys=False))
        return path


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
            continue
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


@pytest.fixture(scope="session")
def twostep(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Twostep:
    return Twostep(root, tmp_path_factory.mktemp("twostep"))


@pytest.fixture(scope="session")
def make_recommender(
    root: Path, movielens: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Recommender]:
    """Return a function that makes a recommender on a slice of a given number of users."""
    recipe = runpy.run_path(str(root / "tests" / "data" / "movielens_slice.py"))

    def make(users: int) -> Recommender:
        folder = tmp_path_factory.mktemp("recommender")
        recipe["cut"](movielens, folder / "data", users)
        return Recommender(folder, CONFIG, recipe["FUTURE"], recipe["SHOWN"])

    return make


@pytest.fixture(scope="session")
def recommender(make_recommender: Callable[..., Recommender]) -> Recommender:
    """Return the recommender that the tests share; its configuration is `slice.yaml`."""
    shared = make_recommender(150)
    shared.config()
    return shared


@pytest.fixture(scope="session")
def first(twostep: Twostep, recommender: Recommender) -> Done:
    """Return the result of the first run of the DAG, started with the installed command."""
    return twostep.run("run", "slice.yaml", folder=recommender.folder)


@pytest.fixture(scope="session")
def finished(first: Done, recommender: Recommender) -> Recommender:
    """Return the recommender after its first run."""
    assert first.code == 0, first.out + first.err
    return recommender


@pytest.fixture(scope="module")
def releases(finished: Recommender, tmp_path_factory) -> Path:
    """Return a copy of the releases, which the tests of a module may change."""
    folder = tmp_path_factory.mktemp("served") / "releases"
    shutil.copytree(finished.releases, folder)
    return folder


@pytest.fixture(scope="module")
def loaded(finished: Recommender) -> Any:
    """Return the configuration of the recommender."""
    from pipeline import config

    return config.load(finished.folder / "slice.yaml")


@pytest.fixture(scope="module")
def folders(loaded: Any) -> Callable[[str, str], str]:
    """Return a function from a node and an output to the folder of this output."""
    from pipeline.config import paths
    from pipeline.lineage import records

    store = paths.metadata_database(loaded).open()
    return lambda node, output: str(records.latest_output(store, node, output))


@pytest.fixture(scope="module")
def joined(folders: Callable[[str, str], str]) -> dict[str, Any]:
    """Return split → its joined events."""
    import core.tf  # noqa: F401 - Keras 2, before TensorFlow

    import pyarrow as pa

    from core import examples, names

    types = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()}
    uri = folders("EventJoiner", "examples")
    return {split: examples.read_examples(uri, split, types) for split in (names.TRAIN, names.EVAL, names.TEST)}
