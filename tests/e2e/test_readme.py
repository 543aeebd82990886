"""The commands in the README, run in their order, and its example with other data."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]
MAKE = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
RUN = [command for command in COMMANDS if not command.startswith("make ")]


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """Return a folder with the examples; in place of MovieLens-100K it has the slice, with its release."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "runs").mkdir()  # as in a checkout, where the examples run in this folder
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("data"))
    slice_ = finished.config("readme.yaml", data={"root": str(finished.folder / "data")})
    shutil.copyfile(slice_, folder / "examples" / "movielens-100k.yaml")
    shutil.copytree(finished.releases, folder / "runs" / "movielens-100k" / "releases")
    return folder


@pytest.fixture(scope="module")
def said(twostep, folder):
    """Run all commands and return command → its exit code and output."""

    def run(command):
        program, *arguments = shlex.split(command)
        if program == "twostep":
            done = twostep.fork(*arguments, folder=folder)
            return done.code, done.out, done.err
        assert program == "python", f"the README may tell to run make, twostep and python; found {command!r}"
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return {command: run(command) for command in dict.fromkeys(RUN)}


@pytest.mark.parametrize("target", MAKE)
def test_make_target(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", RUN)
def test_command(said, command):
    code, out, err = said[command]
    assert (code, err) == (0, ""), out
    assert out or command.startswith("python ")


def test_the_readme_shows_every_kind_of_block():
    assert {"demo", "test"} <= set(MAKE)
    assert sum(command.startswith("twostep run ") for command in RUN) == 3


def test_the_printed_configuration_is_the_example(root):
    printed = [block for kind, block in BLOCKS if kind == "yaml"]
    assert (root / "examples" / "shop" / "shop.yaml").read_text(encoding="utf-8") in printed


def test_everything_of_a_recommender_lies_below_runs(said, folder):
    assert {path.name for path in folder.iterdir()} == {"examples", "runs"}
    assert {path.name for path in (folder / "runs").iterdir()} == {"shop", "movielens-100k"}
    found = {path.name for path in (folder / "runs" / "shop").iterdir() if not path.name.startswith(".")}
    assert found == {"releases", "serving", "pipeline", "logs", "metadata.sqlite", "report.html", "lineage.svg"}


def test_the_shop_recommends_what_its_customers_like(said):
    """Each user prefers some items in the example data, so a pipeline that learns beats popularity by far."""
    _, out, _ = said["twostep run examples/shop/shop.yaml"]
    rows = dict(re.findall(r"^[│ ]*(two-step|popularity) +[│ ]+ *(0\.\d+)", out, flags=re.MULTILINE))
    assert float(rows["two-step"]) > 1.2 * float(rows["popularity"])
