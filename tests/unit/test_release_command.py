"""The `twostep release` commands, called through the command line."""

import argparse
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from facts import lacking

from core import names
from core.errors import ReleaseError, UsageError
from core.release import reader, writer
from pipeline.commands import release


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    release.add_arguments(parser.add_subparsers())
    arguments = parser.parse_args(["release", *map(str, words)])
    return arguments.func(arguments)


@pytest.fixture
def published(tmp_path) -> tuple[Path, str, str]:
    """Return the folder of the releases, and the versions of an older and a newer release."""
    versions = []
    for day in (1, 2):
        parts = {name: tmp_path / str(day) / name for name in (*reader.FOLDERS, *reader.FILES)}
        for name in reader.FOLDERS:
            parts[name].mkdir(parents=True)
            (parts[name] / "content").write_text(f"{name} {day}")
        for name in reader.FILES:
            parts[name].write_text(name)
        facts = {"metrics": {"ndcg@10": 0.1786543}, "name": "films"}
        created = datetime(2025, 1, day, tzinfo=UTC)
        versions.append(writer.publish(tmp_path / "releases", parts, facts, created=created))
    return tmp_path / "releases", *versions


def test_list_marks_the_current_one(published, capsys):
    folder, older, newer = published
    assert call("list", folder) == 0
    assert capsys.readouterr().out == f"{newer}  in force\n{older}  in force before\n"
    assert call("list", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"current": newer, "versions": [newer, older]}


def test_show_prints_the_facts(published, capsys):
    folder, older, newer = published
    assert call("show", folder) == 0
    shown = capsys.readouterr().out
    assert f"{newer} (in force)" in shown
    assert "  ndcg@10  0.178654\n" in shown
    assert "films" in shown
    assert call("show", folder, older, "--json") == 0
    assert json.loads(capsys.readouterr().out) == reader.manifest(folder, older)


def test_verify_tells_whole_from_damaged(published, capsys):
    folder, older, newer = published
    assert call("verify", folder) == 0
    assert lacking(capsys.readouterr().out, f"{newer} … intact … 7 files") == []
    (folder / older / names.CATALOGUE_FILE).write_text("damaged")
    with pytest.raises(ReleaseError, match=r"catalogue\.arrow.*damaged"):
        call("verify", folder, older)


def test_rollback_says_what_it_did(published, capsys):
    folder, older, newer = published
    assert call("rollback", folder) == 0
    assert re.search(f"{older} .*in force.* {newer}", capsys.readouterr().out)
    assert call("rollback", folder, newer, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"current": newer}


def test_gc_says_what_it_deletes(published, tmp_path, capsys):
    folder, older, newer = published
    for day in (3, 4):
        parts = {name: tmp_path / "1" / name for name in (*reader.FOLDERS, *reader.FILES)}
        writer.publish(folder, parts, {}, created=datetime(2025, 1, day, tzinfo=UTC))
    assert call("gc", folder) == 0
    assert capsys.readouterr().out == "4 of 4 releases kept\n"  # the default is five
    gone = [str(folder / version) for version in (older, newer)]
    assert call("gc", folder, "--keep", 2, "--dry-run") == 0
    expected = f"would delete {gone[0]}\nwould delete {gone[1]}\n2 of 4 releases would be kept\n"
    assert capsys.readouterr().out == expected
    assert call("gc", folder, "--keep", 2, "--json") == 0
    left = reader.versions(folder)
    assert json.loads(capsys.readouterr().out) == {"deleted": gone, "left": left, "dry_run": False}
    assert len(left) == 2
    with pytest.raises(UsageError, match="at least 1"):
        call("gc", folder, "--keep", 0)


def test_gc_goes_by_the_configuration(published, tmp_path, capsys):
    folder, older, _ = published
    for day, number in enumerate(("10", "20"), start=3):
        served = {step: tmp_path / "serving" / step / number for step in (reader.RETRIEVAL, reader.RANKING)}
        for path in [*served.values(), tmp_path / "serving/ranking/15"]:
            path.mkdir(parents=True, exist_ok=True)
        parts = {name: tmp_path / "1" / name for name in (*reader.FOLDERS, *reader.FILES)}
        writer.publish(folder, parts, {}, served, created=datetime(2025, 1, day, tzinfo=UTC))
    config = tmp_path / "films.yaml"
    config.write_text(f"name: films\nrun_folder: {tmp_path}\ndata: {{root: tables}}\nrelease: {{keep: 2}}\n")
    assert call("gc", config) == 0
    out = capsys.readouterr().out
    assert f"deleted {folder / older}\n" in out
    assert f"deleted {tmp_path / 'serving/ranking/15'}\n2 of 4 releases kept\n" in out
    assert not (tmp_path / "serving/ranking/15").exists()


def test_a_configuration_names_the_folder(published, tmp_path, capsys):
    folder, _, newer = published
    config = tmp_path / "films.yaml"
    config.write_text(f"name: films\nrun_folder: {folder.parent}\ndata: {{root: tables}}\n")
    assert call("list", config) == 0
    assert newer in capsys.readouterr().out
