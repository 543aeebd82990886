"""The `release` commands, as the command line calls them."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import names, releases
from core.errors import ReleaseError
from pipeline.commands import release


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    release.add_arguments(parser.add_subparsers())
    arguments = parser.parse_args(["release", *map(str, words)])
    return arguments.func(arguments)


@pytest.fixture
def published(tmp_path) -> tuple[Path, str, str]:
    """The folder of the releases, and an older and a newer one in it."""
    versions = []
    for day in (1, 2):
        parts = {name: tmp_path / str(day) / name for name in (*releases.FOLDERS, *releases.FILES)}
        for name in releases.FOLDERS:
            parts[name].mkdir(parents=True)
            (parts[name] / "content").write_text(f"{name} {day}")
        for name in releases.FILES:
            parts[name].write_text(name)
        facts = {"metrics": {"ndcg@10": 0.1786543}, "name": "films"}
        versions.append(releases.publish(tmp_path / "releases", parts, facts, datetime(2025, 1, day, tzinfo=UTC)))
    return tmp_path / "releases", *versions


def test_list_marks_the_current_one(published, capsys):
    folder, older, newer = published
    assert call("list", folder) == 0
    assert capsys.readouterr().out == f"{newer}  current\n{older}\n"
    assert call("list", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"current": newer, "versions": [newer, older]}


def test_show_prints_the_facts(published, capsys):
    folder, older, newer = published
    assert call("show", folder) == 0
    shown = capsys.readouterr().out
    assert f"{newer} (current)" in shown
    assert "  ndcg@10  0.178654\n" in shown
    assert "films" in shown
    assert call("show", folder, older, "--json") == 0
    assert json.loads(capsys.readouterr().out) == releases.manifest(folder, older)


def test_verify_tells_whole_from_damaged(published, capsys):
    folder, older, newer = published
    assert call("verify", folder) == 0
    assert capsys.readouterr().out == f"release {newer} is whole: 5 files are as they were published\n"
    (folder / older / names.CATALOGUE_FILE).write_text("damaged")
    with pytest.raises(ReleaseError, match=r"catalogue\.arrow is damaged"):
        call("verify", folder, older)


def test_rollback_says_what_it_did(published, capsys):
    folder, older, newer = published
    assert call("rollback", folder) == 0
    assert capsys.readouterr().out == f"release {older} is current in place of {newer}\n"
    assert call("rollback", folder, newer, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"current": newer}


def test_a_configuration_names_the_folder(published, tmp_path, capsys):
    folder, _, newer = published
    config = tmp_path / "films.yaml"
    config.write_text(f"name: films\nrun_folder: {folder.parent}\ndata: {{root: tables}}\n")
    assert call("list", config) == 0
    assert newer in capsys.readouterr().out
