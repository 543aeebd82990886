"""The command `twostep tune`: its checks before the search, and the summary after the search."""

import io

import pytest
from facts import lacking
from rich.console import Console

from core.errors import UsageError
from pipeline import cli
from pipeline.commands import tune
from pipeline.report import tuning_summary
from trainer.tuning.records import Trial


@pytest.fixture
def file(tmp_path):
    """Return a configuration file, with its three tables beside it."""
    (tmp_path / "data").mkdir()
    for name in ("interactions", "users", "items"):
        (tmp_path / "data" / f"{name}.parquet").touch()
    path = tmp_path / "shop.yaml"
    path.write_text(f"name: shop\nrun_folder: {tmp_path}/runs\ndata: {{root: data}}\nretrieval: {{model: ease}}\n")
    return path


def refused(*argv):
    arguments = cli.parser().parse_args(["tune", *map(str, argv)])
    with pytest.raises(UsageError) as caught:
        tune.run(arguments)
    return str(caught.value)


def test_what_is_wrong_is_said_before_anything_runs(file):
    assert lacking(refused(file, "--params", "{"), "--params … JSON") == []
    assert lacking(refused(file, "--params", "[]"), "--params … JSON object") == []
    assert lacking(refused(file, "--params", '{"factors": [1]}'), "--params of ease: … 'factors' … l2") == []
    assert lacking(refused(file, "--params", '{"l2": [-1]}'), "--params of ease: l2: … -1") == []
    assert lacking(refused(file, "--trials", 0), "--trials … 10,000 … found 0") == []
    assert lacking(refused(file, "--minutes", -1), "--minutes … 100,000 … found -1") == []
    assert not (file.parent / "runs").exists()


def test_a_file_is_overwritten_only_with_force(file):
    there = file.with_name("shop.tuned.yaml")
    there.write_text("mine")
    assert f"{there} exists" in refused(file)
    assert lacking(refused(file, "--output", file, "--force"), f"{file} … configuration") == []
    assert there.read_text() == "mine"


def test_the_copy_stays_where_its_data_is_found(file):
    assert "data.root" in refused(file, "--output", file.parent / "other" / "a.yaml")


# ---- the summary ----

CONFIGURED = {"l2": 300.0, "hidden": [64]}
TRIALS = [Trial(1, CONFIGURED, 0.12), *(Trial(n, {"l2": n / 10, "hidden": []}, 0.12 + n / 1000) for n in range(2, 9))]


def shown(trials):
    out = io.StringIO()
    tuning_summary.show("retrieval", trials, CONFIGURED, Console(file=out, width=200))
    return out.getvalue()


def test_the_best_trials_are_shown_and_what_was_configured():
    lines = shown(TRIALS).splitlines()
    assert "retrieval: 8 finished trials" in lines[0]
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["8", "7", "6", "5", "4", "1"]
    assert rows[-1] == ["1", "0.1200", "300", "[64]", "configured"]
    assert lines[-1].startswith("best 0.1280 on eval, configured 0.1200 (+6.7%)")


def test_it_is_said_where_nothing_was_better_and_where_there_is_nothing_to_compare_with():
    assert "configured" in shown(TRIALS[:1]).splitlines()[-1]
    assert "did not finish" in shown(TRIALS[1:])


def test_the_page_holds_every_trial(tmp_path):
    tuning_summary.write_page(tmp_path / "page.html", "shop", "retrieval", TRIALS, CONFIGURED)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<tr>") == 1 + len(TRIALS)
    assert page.count("<circle") == len(TRIALS)
    assert page.index("0.1280") < page.index("configured 0.1200")


def test_the_line_of_a_trial_stays_and_other_reports_pass():
    out = io.StringIO()
    lines = tuning_summary.TrialLines(Console(file=out, width=200))
    with lines.running("RetrievalTuner"):
        lines.update("RetrievalTuner", "iteration 3/5")
        lines.update("RetrievalTuner", "trial 1/9: l2 300: NDCG@10 0.1200")
    assert out.getvalue() == "  trial 1/9: l2 300: NDCG@10 0.1200\n"
