"""The shop of the examples as tables and configurations for tests, and runs of it by the command line."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import core

ROOT = Path(core.__file__).resolve().parents[1]
SECONDS = 400  # for a run
# Models that are fitted in a second, of which the ranker has ops of its own.
QUICK = {"retrieval": {"model": "item_knn", "candidates": 20}, "ranking": {"model": "trees"}}


def make(folder: Path) -> None:
    """Write the tables of the shop into `folder/data`."""
    runpy.run_path(str(ROOT / "examples" / "shop" / "make_data.py"))["main"](folder / "data")


def config(folder: Path, name: str, /, **changes: Any) -> Path:
    """Write a configuration of the shop with quick models, and return its file."""
    values = yaml.safe_load((ROOT / "examples" / "shop" / "shop.yaml").read_text())
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(values | QUICK | {"name": name, "run_folder": f"runs/{name}"} | changes))
    return file


def start(*argv: object, **variables: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "pipeline.cli", *map(str, argv)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def wait(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a command, check its exit code, and return its output."""
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == code, output
    return output


def call(*argv: object, code: int = 0, **variables: str) -> str:
    """Run a command; see `wait`."""
    return wait(start(*argv, **variables), code)


def printed(*argv: object) -> str:
    """Run a command that should succeed, and return what it printed to stdout."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, argv)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=3 * SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
