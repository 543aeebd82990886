"""The command `twostep tune` after a run: the nodes before the Tuner come from the cache, and a search resumes."""

import re
import signal

import pytest
import yaml


@pytest.fixture(scope="module")
def ease(finished):
    """Return a configuration of the recommender after its run, with the retrieval model `ease` and a comment."""
    path = finished.config("ease.yaml", retrieval={"model": "ease", "params": None})
    path.write_text(path.read_text() + "# kept\n")
    return path


def trials(done):
    """Return the number of each trial → its line in the output."""
    return dict(re.findall(r"^  trial (\d+)/\d+: (.*)$", done.out, flags=re.MULTILINE))


def test_a_search_takes_the_run_from_cache_and_writes_the_best(twostep, finished, ease):
    done = twostep.fork("tune", ease.name, "--trials", 4, folder=finished.folder)
    assert done.code == 0, done.out + done.err
    assert done.named("done") == {"RetrievalTuner"}
    assert list(trials(done)) == ["1", "2", "3", "4"]
    best = max(re.findall(r"NDCG@10 (0\.\d+)", done.out))
    assert f"best {best} " in done.out or "better on eval" in done.out
    copy = (finished.folder / "ease.tuned.yaml").read_text()
    found = yaml.safe_load(copy)
    assert found.pop("retrieval")["params"].keys() == {"l2"}
    assert found.items() <= yaml.safe_load(ease.read_text()).items()
    assert "# kept" in copy
    assert "<circle" in (finished.runs / "tuning-retrieval.html").read_text()
    again = twostep.fork("tune", ease.name, "--trials", 4, "--force", folder=finished.folder)
    assert again.code == 0, again.out + again.err
    assert again.named("cached") >= {"RetrievalTuner"}
    assert (finished.folder / "ease.tuned.yaml").read_text() == copy


def test_a_search_that_was_stopped_writes_its_best_and_goes_on(twostep, finished, ease):
    def begun():
        return len(list(finished.runs.glob("tuning/retrieval-*/*.json"))) > known + 2

    known = len(list(finished.runs.glob("tuning/retrieval-*/*.json")))
    command = ("tune", ease.name, "--trials", 60, "--output", "stopped.yaml")
    stopped = twostep.start(*command, folder=finished.folder).signal_when(signal.SIGINT, begun)
    assert stopped.code == 130, stopped.out + stopped.err
    assert "stopped" in stopped.out
    assert yaml.safe_load((finished.folder / "stopped.yaml").read_text())["retrieval"]["params"].keys() == {"l2"}
    reached = len(trials(stopped))
    assert 2 < reached < 60
    goes_on = twostep.fork("tune", ease.name, "--trials", reached + 2, "--force", folder=finished.folder)
    said = trials(goes_on)
    assert [number for number, line in said.items() if " s earlier" not in line] in (
        [str(reached + 1), str(reached + 2)],
        [str(reached + 2)],  # a trial may finish while the signal is sent
    )


def test_the_ranker_is_searched_over_the_candidates_of_the_run(twostep, finished):
    finished.config()
    few = '{"learning_rate": [0.001, 0.003]' + "".join(
        f', "{name}": null' for name in ("loss", "batch_size", "dim", "history", "hidden", "dropout", "cross_layers")
    )
    command = ("tune", "slice.yaml", "--step", "ranking", "--trials", 2, "--params", few + "}")
    done = twostep.fork(*command, folder=finished.folder)
    assert done.code == 0, done.out + done.err
    assert done.named("done") == {"RankingTuner"}
    assert len(trials(done)) == 2
    copy = yaml.safe_load((finished.folder / "slice.tuned.yaml").read_text())
    assert copy["ranking"]["params"].keys() == {"epochs", "learning_rate"}
