"""The plan of a run: the nodes that a node needs, the spans, the run folder, and the check of list lengths."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from facts import facts, lacking

from core.errors import DataError, UsageError
from core.names import CATALOGUE_FILE
from pipeline import cli, config
from pipeline.config import list_lengths, paths
from pipeline.dag import plan

UPSTREAM = {"Gen": [], "Other": [], "Joiner": ["Gen", "Other"], "Trainer": ["Joiner"], "Judge": ["Trainer", "Joiner"]}


@pytest.mark.parametrize(
    ("node", "needed"),
    [
        ("Gen", {"Gen"}),
        ("Joiner", {"Gen", "Other", "Joiner"}),
        ("Judge", {"Gen", "Other", "Joiner", "Trainer", "Judge"}),
    ],
)
def test_a_node_needs_all_that_is_upstream(node, needed):
    assert plan.needed_by(node, UPSTREAM) == needed


def test_an_unknown_node_lists_those_there_are():
    with pytest.raises(UsageError, match=facts("Joinr … `Joiner` … Gen, Other, Joiner, Trainer")):
        plan.needed_by("Joinr", UPSTREAM)


def test_the_lines_of_a_dry_run_name_everything():
    deliveries = {
        "interactions": plan.Deliveries("e/{SPAN}.csv", 2, ("6", "7")),
        "users": plan.Deliveries("u\x1b.csv", 1),
    }
    lines = list(plan.lines("shop", deliveries, ["Gen", "Joiner"], Path("/r"), None))
    assert lines[0].startswith("shop: 2 nodes ")
    assert lines[1:] == [
        "run folder  /r",
        "release     none yet",
        "tables",
        "  interactions  e/{SPAN}.csv: 2 files, spans 6, 7",
        "  users         u\\x1b.csv: 1 file",
        "nodes",
        "  Gen",
        "  Joiner",
    ]


# ---- the folder of runs ----


@pytest.mark.parametrize(
    ("marker", "run_folder", "expected"),
    [
        (None, None, "project/examples/shop/runs/shop"),
        ("project/.git", None, "project/runs/shop"),
        ("project/runs", None, "project/runs/shop"),
        ("project/examples/shop/runs", None, "project/examples/shop/runs/shop"),
        ("project/.git", "here", "project/examples/shop/here"),
        ("project/.git", "../out", "project/examples/out"),
        ("project/.git", "/elsewhere", "/elsewhere"),
    ],
)
def test_the_folder_of_runs_starts_from_the_configuration(tmp_path, monkeypatch, marker, run_folder, expected):
    folder = tmp_path / "project/examples/shop"
    folder.mkdir(parents=True)
    if marker:
        (tmp_path / marker).mkdir()
    file = folder / "shop.yaml"
    file.write_text("name: shop\ndata: {root: .}\n" + (f"run_folder: {run_folder}\n" if run_folder else ""))
    for start in (tmp_path, folder, Path("/")):
        monkeypatch.chdir(start)
        loaded = config.load(os.path.relpath(file))
        assert paths.run_folder(loaded) == tmp_path / expected
        assert paths.run_folder(loaded.model_copy(update={"seed": 7})) == tmp_path / expected


def test_a_worktree_of_git_counts_as_a_checkout(tmp_path):
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    (tmp_path / "a").mkdir()
    assert paths.folder_of_runs(None, "shop", tmp_path / "a") == tmp_path / "runs/shop"


# ---- lists and the catalogue ----


def parquet(path, rows):
    pq.write_table(pa.table({"item_id": [str(each) for each in range(rows)]}), path)
    return path


def csv(path, text):
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("item_id\na\nb\n", 2),
        ("item_id\na\nb", 2),
        ("item_id\r\na\r\nb\r\n", 2),
        ("item_id\ra\rb\r", 2),
        ("item_id\n", 0),
        ("item_id", 0),
        ('item_id,t\na,"two\nlines"\n', 2),  # an upper bound
        ("", None),
    ],
)
def test_rows_of_csv_are_never_counted_too_low(tmp_path, text, rows):
    assert list_lengths.rows_up_to([csv(tmp_path / "i.csv", text)], 100) == rows


def test_rows_of_several_files_are_added_as_far_as_needed(tmp_path):
    files = [parquet(tmp_path / "a.parquet", 3), csv(tmp_path / "b.csv", "item_id\na\nb\n"), tmp_path / "none.csv"]
    assert list_lengths.rows_up_to(files[:2], 100) == 5
    assert list_lengths.rows_up_to(files, 5) >= 5
    assert list_lengths.rows_up_to(files, 6) is None
    assert list_lengths.rows_up_to([csv(tmp_path / "c.parquet", "no parquet")], 5) is None


@pytest.fixture
def shop(tmp_path):
    """Write a configuration and a table of five items; return a function that writes the configuration with changes."""
    for name in ("interactions.parquet", "users.parquet"):
        parquet(tmp_path / name, 1)
    parquet(tmp_path / "items.parquet", 5)
    file = tmp_path / "shop.yaml"

    def write(candidates=5, at="[5]"):
        file.write_text(
            f"name: shop\nrun_folder: runs\ndata: {{root: .}}\nretrieval: {{candidates: {candidates}}}\n"
            f"evaluation: {{at: {at}, rules: []}}\n"
        )
        return file

    return write


@pytest.mark.parametrize(
    ("values", "key"),
    [({"candidates": 6}, "retrieval.candidates: … 5"), ({"at": "[5, 6]"}, "evaluation.at: … 5")],
)
@pytest.mark.parametrize("command", [("config", "check"), ("run",), ("run", "--dry-run"), ("tune",)])
def test_lists_longer_than_the_catalogue_are_found_before_anything_runs(shop, tmp_path, capsys, command, values, key):
    assert cli.main([*command, str(shop(**values))]) == 2
    shown = capsys.readouterr().err
    assert lacking(shown, f"{key} … found 6") == []
    assert not (tmp_path / "runs").exists()


def test_lists_as_long_as_the_catalogue_pass(shop):
    assert cli.main(["config", "check", str(shop())]) == 0


def test_lists_are_held_against_the_joined_catalogue(shop, tmp_path):
    from core.arrow import write_arrow

    write_arrow(pa.table({"item_id": ["a", "b", "c", "d"]}), tmp_path / CATALOGUE_FILE)
    with pytest.raises(DataError, match=facts("4 items … retrieval.candidates … 5")):
        list_lengths.check_joined(config.load(shop()), tmp_path)
    with pytest.raises(DataError, match=r"evaluation\.at"):
        list_lengths.check_joined(config.load(shop(candidates=4)), tmp_path)
    list_lengths.check_joined(config.load(shop(candidates=4, at="[4]")), tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("i.csv", b"\x1f\x8b" + b"x" * 99), ("i.csv", b"PAR1\x15\x04" + b"x" * 99)]
)
def test_a_file_of_another_format_has_no_count(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert list_lengths.rows_up_to([tmp_path / name], 10) is None


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "items.csv")
    assert list_lengths.rows_up_to([tmp_path / "items.csv"], 10) is None
