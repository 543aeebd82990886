"""Wrong use of the command line: exit code 2 or 1 and one clear message for each error."""

import os
import re
from pathlib import Path

import pytest
from facts import lacking

from pipeline import cli
from pipeline.commands import completion_scripts

VALID = (
    "name: shop\nrun_folder: runs\ndata: {root: ., interactions: {path: interactions.csv}, users: {path: users.csv}, "
    "items: {path: items.csv}}\n"
)
LONG, HUGE = "x" * 5000, "9" * 400
DEEP = "[" * 100_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with the configuration `ok.yaml`, its tables, and files that are not configurations."""
    (tmp_path / "ok.yaml").write_text(VALID)
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "users.csv").write_text("user_id\n")
    (tmp_path / "items.csv").write_text("item_id\n" + "a\n" * 200)
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "few.yaml").write_text(VALID + "retrieval: {candidates: 201}\n")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRONG = [
    *[(command,) for command in cli.COMMANDS],
    *[(command, "--nonsense") for command in cli.COMMANDS],
    *[("run", file) for file in ("empty.yaml", "bytes.yaml", "folder", "pipe", "none.yaml", "", "a\0b", LONG)],
    *[("config", "check", file) for file in ("empty.yaml", "bytes.yaml", "folder", "pipe", "/dev/zero", "few.yaml")],
    ("run", "ok.yaml", "--until"),
    *[("run", "ok.yaml", "--workers", value) for value in ("0", "-1", "65", "1.5", "x", "9" * 5000)],
    ("run", "ok.yaml", "\x1b[2J"),
    ("run", "ok.yaml", LONG),
    ("run", "few.yaml"),
    ("run", "few.yaml", "--dry-run"),
    ("run", "none.yaml", "--json"),
    *[("tune", "ok.yaml", "--trials", value) for value in ("0", "-5", "abc", "1.5", "10001", HUGE, "9" * 5000)],
    *[("tune", "ok.yaml", "--minutes", value) for value in ("0", "-1", "nan", "inf", "1e999", "x")],
    *[("tune", "ok.yaml", "--params", value) for value in ("{", "[]", "1", DEEP, '{"dim": []}', '{"dim": [true]}')],
    ("tune", "ok.yaml", "--params", '{"dim": {"low": 2, "high": 1e30}}'),
    ("tune", "ok.yaml", "--params", '{"dim": {"low": 1e400}}'),
    ("tune", "ok.yaml", "--params", '{"nonsense": [1]}'),
    ("tune", "ok.yaml", "--step", "both"),
    ("tune", "ok.yaml", "--output", "ok.yaml"),
    ("tune", "ok.yaml", "--output", "folder"),
    ("tune", "ok.yaml", "--output", "elsewhere/x.yaml"),
    ("tune", "ok.yaml", "--output", LONG),
    *[("config", "explain", key) for key in ("a.b", "", ".", "..", LONG, "\x1b[2J", "retrieval.params.two_tower.")],
    ("config", "explain", "retrieval.params.two_tower.dim.x"),
    ("config", "check", "ok.yaml", "more"),
    ("completion", "csh"),
    *[("lineage", "ok.yaml", f"artifact:{number}") for number in ("x", "", "-1", "²", HUGE, "9" * 20)],
    ("lineage", "ok.yaml", "--format", "pdf"),
    ("release", "show", "ok.yaml", "../../x"),
    ("release", "show", "folder", "../../x"),
    ("release", "show", "folder", "a\0b"),
    ("release", "verify", "folder", "/etc"),
    ("release", "rollback", "folder", LONG),
    ("release", "list", "none.yaml"),
    ("release", "list", LONG),
    *[("release", "gc", "folder", "--keep", number) for number in ("0", "-1", "abc", "9" * 5000)],
    ("recommend", "ok.yaml", "--user", "1", "-k", "abc"),
    ("recommend", "ok.yaml", "--user", "1"),
    ("similar", "ok.yaml", "--item", "x", "--release", "../../x"),
    ("data", "get", "nonsense"),
    ("data", "get", ""),
    ("data", "freeze", "folder"),
    ("bench", "nonsense"),
    *[("bench", "movielens-100k", "--params", value) for value in ("{", "[]", DEEP, '{"nonsense": 1}')],
    *[("bench", "movielens-100k", "--models", value) for value in ("", "nonsense", "ease,")],
    *[("bench", "movielens-100k", "--seed", value) for value in ("-1", "x", HUGE)],
]


def test_there_are_many():
    assert len(WRONG) > 90


@pytest.mark.parametrize("argv", WRONG, ids=lambda argv: " ".join(each[:20] for each in argv).replace("\0", "NUL"))
def test_wrong_use_ends_with_one_clear_message(folder, capsys, argv):
    code = cli.main(argv)
    message = capsys.readouterr().err
    assert code in (1, 2), message
    assert message.strip()
    assert "unexpected" not in message
    assert "Traceback" not in message
    assert len(message) < 3000
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", message)
    assert sum(line.startswith("twostep") for line in message.splitlines()) == 1
    assert not (folder / "runs").exists() or argv[0] in ("lineage", "recommend", "similar")


def test_an_error_of_the_file_system_is_one_message(folder, capsys):
    assert cli.main(["tune", "ok.yaml", "--output", LONG]) == 1
    message = capsys.readouterr().err
    assert message.startswith("twostep: xxx")
    assert "File name too long" in message


# ---- documents ----

PAGE = (Path(cli.__file__).resolve().parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_page_has_every_command_and_no_other():
    every = completion_scripts.levels(cli.parser())
    commands = {command[1:].replace("/", " ") for command in every if command and not _below(command, every)}
    assert set(re.findall(r"^\| `twostep ([a-z -]+)` \|", PAGE, flags=re.MULTILINE)) == commands


def _below(command: str, every: dict) -> bool:
    return any(other.startswith(f"{command}/") for other in every)


def test_exit_codes_are_on_the_page_and_in_the_help(capsys):
    assert re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE) == ["0", "1", "2", "3", "130", "143"]
    assert cli.main(["--help"]) == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert lacking(help_text, "0 success … 1 failure … 2 wrong use … 3 … 130 interrupted … 143") == []


def test_options_of_run_are_on_the_page():
    for option in completion_scripts.levels(cli.parser())["/run"].options:
        assert f"`{option}" in PAGE or option in ("-h", "--help", "-v", "--verbose"), option
