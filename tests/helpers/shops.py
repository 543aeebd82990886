"""The example `shop` in a folder, and commands of twostep in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import core

ROOT = Path(core.__file__).resolve().parents[1]
SECONDS = 900  # for a command; each task of a compiled run imports TensorFlow and TFX


def make(folder: Path, **changes: Any) -> None:
    """Write the tables of the example to `data` and its configuration to `shop.yaml`, with changes by section."""
    subprocess.run([sys.executable, str(ROOT / "examples/shop/make_data.py"), str(folder / "data")], check=True)
    values = yaml.safe_load((ROOT / "examples/shop/shop.yaml").read_text())
    (folder / "shop.yaml").write_text(yaml.safe_dump({**values, "run_folder": "local", **changes}))


def command(folder: Path, *words: str) -> str:
    """Run a command of twostep in a folder; return what it printed. Raises: AssertionError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
