"""The command line: exit codes, messages, imports, and the output of libraries."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from facts import lacking

from core.errors import DataError, HeldBackError, UsageError
from pipeline import cli, config
from pipeline.commands import config as config_command
from pipeline.config import paths
from pipeline.lineage.database import SQLite
from pipeline.runners import logs

ROOT = Path(cli.__file__).resolve().parents[1]


def shell(*arguments: str, **keywords) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT, **keywords
    )


def twostep(*arguments: str, **keywords) -> subprocess.CompletedProcess:
    return shell("-c", "import sys; from pipeline.cli import main; sys.exit(main())", *arguments, **keywords)


@pytest.fixture
def recommender(tmp_path) -> Path:
    """Return a configuration file, with its three tables beside it."""
    file = tmp_path / "shop.yaml"
    file.write_text(
        "name: shop\n"
        f"run_folder: {tmp_path}/runs\n"
        "data:\n  root: data\n"
        "  interactions: {path: 'events/{SPAN}/*.csv'}\n"
        "  users: {path: users.csv}\n  items: {path: items.parquet}\n"
    )
    for name in (
        "events/1/a.csv",
        "events/1/b.csv",
        "events/2/a.csv",
        "users.csv",
        "items.parquet",
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return file


def test_help_lists_every_command_and_imports_nothing_heavy():
    began = time.monotonic()
    done = shell("-X", "importtime", "-c", "import sys; from pipeline.cli import main; sys.exit(main())", "--help")
    seconds = time.monotonic() - began
    assert done.returncode == 0
    assert all(f"\n    {name} " in done.stdout for name in cli.COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"tensorflow", "tfx", "apache_beam", "numpy", "pyarrow", "pydantic", "rich", "ml_metadata", "yaml"}
    assert imported & heavy == set()
    assert seconds < 2  # 0.1 s on an idle machine


def test_version():
    done = twostep("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("twostep 0.")


@pytest.mark.parametrize("arguments", [(), ("ruin",), ("config",), ("config", "explain", "--what")])
def test_wrong_use_is_2(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "usage: twostep" in capsys.readouterr().err


def failing(error: BaseException):
    def add_arguments(subparsers: argparse._SubParsersAction) -> None:
        def func(arguments: argparse.Namespace) -> int:
            raise error

        subparsers.add_parser("fail").set_defaults(func=func)

    return add_arguments


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no such key"), 2, "twostep: no such key\n"),
        (DataError("a.csv", "row 3", "is empty", "Fill it"), 1, "twostep: a.csv: row 3: is empty. Fill it\n"),
        (HeldBackError("ndcg@10 .1 < .2"), 3, "twostep: ndcg@10 .1 < .2\n"),
        (KeyError("x"), 1, "twostep: … KeyError: 'x' … -v"),
        (KeyboardInterrupt(), 130, "twostep: interrupted\n"),
    ],
)
def test_an_error_ends_with_its_code_and_one_message(error, code, message, monkeypatch, capsys):
    monkeypatch.setattr(config_command, "add_arguments", failing(error))
    assert cli.main(["fail"]) == code
    printed = capsys.readouterr().err
    assert lacking(printed, message) == []
    assert printed.count("twostep: ") == 1


@pytest.mark.parametrize("arguments", [["-v", "fail"], ["fail", "-v"]])
def test_verbose_shows_the_traceback_before_or_after_the_command(arguments, monkeypatch, capsys):
    monkeypatch.setattr(config_command, "add_arguments", failing(UsageError("no such key")))
    assert cli.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback")
    assert printed.endswith("twostep: no such key\n")


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -c 'from pipeline.cli import main; import sys; sys.exit(main())' config explain"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_config_check_says_what_it_found(recommender, capsys):
    assert cli.main(["config", "check", str(recommender)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{recommender}: ok\n")
    assert f"{recommender.parent}/data\n" in printed
    assert "events/{SPAN}/*.csv: 1 file\n" in printed  # of the newest span
    assert "users.csv: 1 file\n" in printed


def test_config_check_names_each_missing_table_and_what_to_do(recommender, capsys):
    (recommender.parent / "data/users.csv").unlink()
    assert cli.main(["config", "check", str(recommender)]) == 2
    printed = capsys.readouterr().err
    assert f"data.users: {recommender.parent}/data/users.csv\n" in printed
    assert "data.items" not in printed
    assert "correct `data.root`" in printed


def test_a_dataset_that_is_not_here_is_to_be_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths.datasets, "cache_folder", lambda name: tmp_path / "cache" / name)
    file = tmp_path / "films.yaml"
    file.write_text("name: films\ndata: {dataset: movielens-100k}\n")
    assert cli.main(["run", str(file)]) == 2
    printed = capsys.readouterr().err
    assert f"{tmp_path}/cache/movielens-100k/users.parquet" in printed
    assert "twostep data get movielens-100k\n" in printed
    assert not (tmp_path / "runs").exists()


def test_a_run_stays_out_of_a_folder_where_one_is_under_way(recommender, capsys):
    import fcntl

    folder = recommender.parent / "runs"
    folder.mkdir()
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.main(["run", str(recommender)]) == 2
    assert lacking(capsys.readouterr().err, f"another run … {folder}") == []


def test_paths_of_a_recommender(recommender, monkeypatch):
    loaded = config.load(recommender)
    runs = recommender.parent / "runs"
    assert paths.metadata_database(loaded) == SQLite(runs / "metadata.sqlite")
    assert paths.releases_folder(loaded) == runs / "releases"
    monkeypatch.chdir(recommender.parent)
    named = loaded.model_copy(update={"run_folder": None})
    assert paths.run_folder(named) == runs / "shop"


def test_lineage_before_any_run(recommender, capsys):
    assert cli.main(["lineage", str(recommender)]) == 2
    assert "metadata.sqlite: no such file" in capsys.readouterr().err


NOISE = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
from pipeline.runners.logs import captured
with captured(Path(sys.argv[1]), verbose=sys.argv[2] == "True") as terminal:
    os.write(2, b"from C++\\n")
    print("printed")
    subprocess.run(["sh", "-c", "echo child"])
    logging.getLogger("tfx").info("logged")
    warnings.warn("warned")
    print("ours", file=terminal)
print("afterwards")
os.write(2, b"late\\n")
"""


@pytest.mark.parametrize("verbose", [False, True])
def test_the_noise_of_libraries_goes_to_the_log(tmp_path, verbose):
    log = tmp_path / "logs/1.log"
    done = shell("-c", NOISE, str(log), str(verbose))
    assert done.stdout == "ours\nafterwards\n"
    for words in ("from C++", "printed", "child", "INFO tfx: logged", "UserWarning: warned"):
        assert words in log.read_text()
        assert (words in done.stderr) is verbose
    assert done.stderr.endswith("late\n")
    assert "late" not in log.read_text()


def test_our_own_words_can_go_to_standard_error(tmp_path):
    noise = NOISE.replace('verbose=sys.argv[2] == "True"', "to_error=True")
    done = shell("-c", noise, str(tmp_path / "1.log"))
    assert done.stdout == "afterwards\n"
    assert done.stderr == "ours\nlate\n"


def test_the_module_is_the_same_program_as_the_command():
    done = shell("-m", "pipeline.cli", "config", "explain", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("twostep: nonsense: is not a known key")
    assert shell("-m", "pipeline.cli", "ruin").stderr.startswith("usage: twostep ")
    assert shell("-m", "pipeline.cli", "--version").stdout.startswith("twostep 0.")


def noisy_failure(log: Path) -> None:
    with logs.captured(log):
        os.write(2, b"inside")
        raise KeyError


def test_the_noise_is_let_through_again_after_an_error(tmp_path, capfd):
    with pytest.raises(KeyError):
        noisy_failure(tmp_path / "1.log")
    os.write(2, b"outside")
    assert capfd.readouterr().err == "outside"
