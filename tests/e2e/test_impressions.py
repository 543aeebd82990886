"""Impressions are negatives in the ranker's training lists and do not occur in the lists of eval and test."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import examples, names
from core.arrow import STRINGS, read_arrow
from core.files import read_json
from core.windows import windows_before

SPLITS = (names.TRAIN, names.EVAL, names.TEST)
KEPT = 45  # the number of retrieved candidates in a training list of 50; a tenth of the positions is for impressions


@pytest.fixture(scope="module")
def lists(folders):
    """Return split → a row per candidate without padding: user, query time, item, rank, label, weight, missed."""
    numbers = (names.RETRIEVAL_RANK, names.LABEL, names.WEIGHT, names.MISSED)
    types = {names.USER_ID: pa.string(), names.QUERY_TIME: pa.int64(), names.ITEM_ID: STRINGS}
    types |= dict.fromkeys(numbers, pa.list_(pa.float32()))
    uri = folders("CandidateGenerator", "candidates")
    found = {}
    for split in SPLITS:
        table = examples.read_examples(uri, split, types).to_pandas().rename_axis("query").reset_index()
        rows = table.explode([names.ITEM_ID, *numbers])
        found[split] = rows[rows[names.ITEM_ID] != ""]
    return found


def impressions(rows):
    """Return the candidates that are impressions: neither retrieved nor missed; this run samples no other negatives."""
    return rows[rows[names.RETRIEVAL_RANK].isna() & (rows[names.MISSED] == 0)]


def test_lists_to_learn_from_hold_what_was_shown_in_their_window_and_not_chosen(finished, joined, lists):
    shown = pq.read_table(finished.folder / "data" / "impressions.parquet").to_pandas()
    train, evaluation = joined[names.TRAIN], joined[names.EVAL]
    before = windows_before(train, evaluation, 1, of_each_user=True)
    windows = [
        (train.filter(pa.array(before == 1)).to_pandas(), train.filter(pa.array(before > 1)).to_pandas()),
        (evaluation.to_pandas(), train.to_pandas()),
    ]
    # The impressions that a query's list may contain: those of its user after the user's last known event and before
    # the last event of the window, without the items of the window's events.
    allowed = {}
    for window, known in windows:
        last = known.groupby(names.USER_ID)[names.TIMESTAMP].max()
        for user, events in window.groupby(names.USER_ID):
            begin, end = last[user] + 1, events[names.TIMESTAMP].max() - 1
            mine = shown[(shown[names.USER_ID] == user) & shown[names.TIMESTAMP].between(begin, end)]
            items = set(mine[names.ITEM_ID]) - set(events[names.ITEM_ID])
            allowed[user, events[names.TIMESTAMP].min()] = items
    found = impressions(lists[names.TRAIN])
    assert (found[names.LABEL] == 0).all()
    assert (found[names.WEIGHT] == 1).all()
    for (user, time, _), items in found.groupby([names.USER_ID, names.QUERY_TIME, "query"])[names.ITEM_ID]:
        assert set(items) <= allowed[user, time]
        assert len(set(items)) == len(items) <= 5
    per_query = found.groupby("query").size().reindex(lists[names.TRAIN]["query"].unique(), fill_value=0)
    assert per_query.mean() > 3
    assert finished.shown in set(found[names.ITEM_ID])
    retrieved = lists[names.TRAIN][lists[names.TRAIN][names.RETRIEVAL_RANK].notna()].groupby("query").size()
    assert (retrieved == KEPT).all()


@pytest.mark.parametrize("split", [names.EVAL, names.TEST])
def test_lists_to_choose_and_to_judge_by_are_those_that_are_served(lists, split):
    assert not len(impressions(lists[split]))
    assert (lists[split].groupby("query").size() == 50).all()
    assert not lists[split].groupby("query")[names.LABEL].any().all()  # some lists have no relevant item


def test_what_was_shown_is_no_event(finished, folders, joined):
    events = pq.read_table(finished.folder / "data" / "interactions.parquet")
    assert sum(len(joined[split]) for split in SPLITS) == len(events)
    for split in SPLITS:
        assert finished.shown not in joined[split][names.ITEM_ID].to_pylist()
    uri = Path(folders("EventJoiner", "examples"))
    for path in (uri / names.USERS_FOLDER).glob("*.arrow"):
        for column in (names.HISTORY, names.EXCLUDE):
            assert finished.shown not in read_arrow(path)[column].combine_chunks().flatten().to_pylist()
    catalogue = read_arrow(uri / names.CATALOGUE_FILE).to_pandas().set_index(names.ITEM_ID)
    assert catalogue.loc[finished.shown, names.EVENT_COUNT] == 0
    vocabularies = list(finished.runs.glob("pipeline/Transform/transform_graph/*/transform_fn/assets/item_id_voc*"))
    assert vocabularies
    assert all(finished.shown not in file.read_text(encoding="utf-8").split() for file in vocabularies)


def test_the_reports_tell_of_the_impressions(finished, folders):
    rows = pq.read_metadata(finished.folder / "data" / "impressions.parquet").num_rows
    report = read_json(Path(folders("CandidateGenerator", "candidates")) / names.REPORT_FILE)[names.IMPRESSIONS]
    assert (report["rows"], report["dropped"]) == (rows - 1, {"unknown_item": 1})
    assert report["not_chosen"] > 1000
    page = (finished.runs / "report.html").read_text(encoding="utf-8")
    assert "Dropped impressions: 1 unknown item (0" in page
    assert "impressions.parquet" in page


def test_an_unknown_item_stops_the_run_where_nothing_else_is_done_again(twostep, finished):
    changed = finished.config("refused.yaml", data={"impressions": {"on_unknown": "error"}})
    done = twostep.fork("run", changed, folder=finished.folder)
    assert done.code == 1
    assert done.named("failed") == {"CandidateGenerator"}
    assert not done.named("done")
    assert done.err.startswith("twostep: impressions: impression of user ")
    assert "item unheard of" in done.err
    assert "`data.impressions.on_unknown: drop`" in done.err
