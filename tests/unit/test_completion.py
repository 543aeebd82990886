"""The completion scripts, run in the shells: the words that they offer."""

import subprocess

import pytest

from pipeline import cli
from pipeline.commands import completion_scripts

ASK = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_twostep
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp("completion") / "twostep.bash"
    file.write_text(completion_scripts.bash(cli.parser()))
    return file


def offered(script, *words):
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", str(script), *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("twostep", ""), set(cli.COMMANDS)),
        (("twostep", "re"), {"recommend", "release", "replay"}),
        (("twostep", "--v"), {"--verbose", "--version"}),
        (("twostep", "config", ""), {"check", "explain"}),
        (("twostep", "-v", "config", "c"), {"check"}),
        (("twostep", "completion", ""), {"bash", "zsh", "fish"}),
        (("twostep", "run", "shop.yaml", "--d"), {"--dry-run"}),
        (("twostep", "tune", "run", "--st"), {"--step"}),
        (("twostep", "tune", "shop.yaml", "--step", ""), {"retrieval", "ranking"}),
        (("twostep", "tune", "shop.yaml", "--step", "ra"), {"ranking"}),
        (("twostep", "lineage", "shop.yaml", "--output", "a"), set()),  # no words of the script: bash completes files
        (("twostep", "run", "sh"), set()),
    ],
)
def test_bash_offers(script, words, expected):
    found = offered(script, *words)
    assert found >= expected if words == ("twostep", "") else found == expected


def test_bash_completes_files_where_there_is_nothing_else(script):
    shown = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}; complete -p twostep"], capture_output=True, text=True, check=True
    )
    assert "-o default" in shown.stdout
    assert "-F _twostep" in shown.stdout


@pytest.mark.parametrize("shell", completion_scripts.SHELLS)
def test_every_command_and_option_is_in_each_script(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    every = completion_scripts.levels(cli.parser())
    assert {"", "/run", "/release/gc", "/data/get", "/config/explain"} <= every.keys()
    for command, level in every.items():
        assert command in script
        for option in level.options:
            assert option.lstrip("-") in script


def test_an_unknown_shell_is_wrong_use(capsys):
    assert cli.main(["completion", "csh"]) == 2
    assert "bash" in capsys.readouterr().err
