"""Training, evaluation and serving use the same candidates and scores, and no data from after the query."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from core import examples, metrics, names, queries
from core.arrow import read_arrow
from core.files import read_json
from core.metrics.probabilities import calibration_error
from core.query_settings import WindowSettings
from core.release import reader
from core.windows import windows_before
from pipeline.dag import settings as dag_settings
from serving import models
from serving.rerank.reranker import Reranker
from serving.rerank.settings import MMR, Reranking
from trainer import saving
from trainer.data import transform_sizes
from trainer.ranking import calibration
from trainer.ranking.contract import RankingData
from trainer.ranking.dcn import DCN
from trainer.ranking.run_fn import read_lists, transformed_lists
from trainer.ranking.settings import DCNSettings
from trainer.ranking.training import NetworkModel
from trainer.retrieval import run_fn
from trainer.step_settings import custom_config
from transform.arrow_types import user_types
from transform.features import raw_columns

SPLITS = (names.TRAIN, names.EVAL, names.TEST)
CANDIDATES = 50


@pytest.fixture(scope="module")
def release(finished):
    """Return the folder of the release in force."""
    return reader.resolve(finished.releases)


@pytest.fixture(scope="module")
def engine(release):
    return models.of_release(release)


@pytest.fixture(scope="module")
def test_queries(loaded, folders, engine):
    """Return the queries of test, built from the joined events."""
    uri = folders("EventJoiner", "examples")
    types = user_types(loaded.features.user)
    events = [examples.read_examples(uri, split, types) for split in SPLITS]
    return queries.build(
        pa.concat_tables(events[:2]),
        events[2],
        engine.catalogue.table[names.ITEM_ID].combine_chunks(),
        unit=loaded.evaluation.unit,
        user_columns=[names.USER_ID, *raw_columns(loaded.features.user)],
        history_length=loaded.features.history_length,
        exclude_seen=loaded.data.exclude_seen,
    )


@pytest.fixture(scope="module")
def lists(loaded, folders):
    """Return the candidate lists of test, read as the trainer reads candidate lists."""
    return read_lists(folders("CandidateGenerator", "candidates"), names.TEST, loaded.features)


# ---- the same scores in training, evaluation and serving ----


def test_the_ranker_is_tested_on_the_candidates_that_are_served(engine, test_queries, lists):
    found = engine.retriever.retrieve(test_queries, CANDIDATES)
    rows = found.rows
    assert rows.shape == (150, CANDIDATES)
    assert lists[names.USER_ID].tolist() == test_queries.users[names.USER_ID].to_pylist()
    ids = np.append(engine.catalogue.table[names.ITEM_ID].to_numpy(zero_copy_only=False), "")
    np.testing.assert_array_equal(lists[names.ITEM_ID], ids[rows])
    np.testing.assert_allclose(lists[names.RETRIEVAL_SCORE], found.scores, atol=1e-5)


def test_trainer_evaluator_and_server_score_alike(loaded, folders, release, engine, test_queries, lists):
    ranked = engine.rank(test_queries, engine.retriever.retrieve(test_queries, CANDIDATES))
    served = ranked.scores
    assert np.isfinite(served).all()
    assert served.std(axis=1).min() > 1e-3  # constant scores would make the comparison meaningless

    # TFMA calls the signature that takes the serialized Examples of CandidateGenerator.
    files = examples.files(folders("CandidateGenerator", "candidates"), names.TEST)
    records = next(tf.data.TFRecordDataset(files, "GZIP").batch(1000).as_numpy_iterator())
    saved = tf.saved_model.load(str(release / "ranking"))
    judged = saved.signatures["rank_examples"](examples=tf.constant(records))["probability"].numpy()
    np.testing.assert_allclose(judged, ranked.probabilities, atol=1e-5)

    # The trainer computes features with the graph of Transform and passes them to the network.
    output = tft.TFTransformOutput(folders("Transform", "transform_graph"))
    transform = output.transform_features_layer()
    train = read_lists(folders("CandidateGenerator", "candidates"), names.TRAIN, loaded.features)
    train, test = (transformed_lists(each, loaded.features, transform) for each in (train, lists))
    data = RankingData(loaded.features, transform, transform_sizes(output, loaded.features), train, test)
    network = DCN(DCNSettings.model_validate(loaded.ranking.params), data)
    ranker = NetworkModel(data, network, calibration.Sigmoid())
    columns = {name: tf.constant(value) for name, value in test.items()}
    ranker.scores(columns)  # the first call creates the variables of the layers
    for number, variable in enumerate(network.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, (number, 1)))
    scrambled = ranker.scores(columns).numpy()
    for path, variable in saving.by_path(ranker).items():
        if isinstance(variable, tf.Variable):
            variable.assign(saved.read[path])
    np.testing.assert_allclose(ranker.scores(columns).numpy(), served, atol=1e-5)
    assert np.abs(scrambled - served).max() > 1e-3


def test_the_probabilities_that_are_judged_are_those_that_are_served(release, engine, test_queries):
    ranked = engine.ranked(test_queries)
    rows, n_items = ranked.candidates.rows, len(engine.catalogue)
    labels = metrics.hits(rows, test_queries.relevant_offsets, test_queries.relevant_items, n_items)
    given = rows >= 0
    measured = read_json(release / names.EVALUATION_FILE)["steps"]["two_step"]["probabilities"]
    error = calibration_error(labels[given], ranked.probabilities[given])
    assert measured["calibration_error"] == pytest.approx(error, abs=1e-6)
    # The probabilities are calibrated on lists as they are served, including lists without a relevant item, so their
    # mean is close to the share of relevant candidates.
    assert 0.5 < ranked.probabilities[given].mean() / labels[given].mean() < 2
    raw = 1 / (1 + np.exp(-ranked.scores[given].astype(float)))
    assert calibration_error(labels[given], raw) > 3 * error


def test_an_age_is_that_of_the_item_in_its_table_at_the_time_of_the_query(finished, loaded, folders, lists):
    transform = tft.TFTransformOutput(folders("Transform", "transform_graph")).transform_features_layer()
    found = transformed_lists(lists, loaded.features, transform)["days_since_released"]
    items = pq.read_table(finished.folder / "data/items.parquet", columns=[names.ITEM_ID, "released"]).to_pandas()
    released = items.set_index(names.ITEM_ID)["released"].reindex(lists[names.ITEM_ID].ravel()).to_numpy(float)
    expected = (lists[names.QUERY_TIME][:, None] - released.reshape(found.shape)) / 86_400
    assert np.nanstd(expected) > 100
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_what_is_said_of_diversity_is_what_would_be_served(release, engine, test_queries):
    curve = read_json(release / names.EVALUATION_FILE)["trade_off"]
    measured = read_json(release / names.EVALUATION_FILE)["steps"]["two_step"]["models"]["two_step"]
    assert curve["points"][0]["weight"] == curve["served"] == 0.0
    for name in ("ndcg", "intra_list_diversity", "catalogue_coverage"):
        assert curve["points"][0][name] == pytest.approx(measured[f"{name}@10"]["mean"]), name
    ranked = engine.ranked(test_queries)
    candidates = ranked.candidates.rows, ranked.scores
    n_relevant, n_items = np.diff(test_queries.relevant_offsets), len(engine.catalogue)
    for point in curve["points"]:
        reranking = Reranking(mmr=MMR(weight=point["weight"]))
        lists = Reranker(reranking, engine.catalogue.table, engine.settings.features.item).rerank(
            test_queries, *candidates, 10
        )[0]
        hits = metrics.hits(lists, test_queries.relevant_offsets, test_queries.relevant_items, n_items)
        assert point["ndcg"] == pytest.approx(np.nanmean(metrics.ndcg(hits, n_relevant, 10)))
    assert curve["points"][-1]["intra_list_diversity"] > 1.1 * curve["points"][0]["intra_list_diversity"]


def test_the_catalogue_knows_the_events_of_each_item_before_test(engine, folders):
    uri, types = folders("EventJoiner", "examples"), {names.ITEM_ID: pa.string()}
    events = pa.concat_tables([examples.read_examples(uri, split, types) for split in (names.TRAIN, names.EVAL)])
    rows = queries.catalogue_rows(engine.catalogue.table[names.ITEM_ID].combine_chunks(), events[names.ITEM_ID])
    counts = np.bincount(rows, minlength=len(engine.catalogue))
    assert engine.catalogue.table[names.EVENT_COUNT].to_pylist() == counts.tolist()


def test_a_list_is_best_first_and_holds_nothing_seen(engine, test_queries):
    rows, scores = engine.recommend(test_queries, 10)
    assert (np.diff(scores, axis=1) <= 0).all()
    ids = engine.catalogue.table[names.ITEM_ID].to_numpy(zero_copy_only=False)[rows]
    for user, seen in zip(ids.tolist(), test_queries.seen.to_pylist(), strict=True):
        assert len(set(user)) == 10
        assert set(user).isdisjoint(seen)


# ---- no data from the future ----


@pytest.fixture(scope="module")
def events(finished):
    """Return the interactions as in the source file."""
    return pq.read_table(finished.folder / "data" / "interactions.parquet").to_pandas()


@pytest.fixture(scope="module")
def query_sets(joined, loaded, engine):
    """Return split → one query per event, with the history before the event."""
    common = {"unit": "event", "user_columns": [names.USER_ID], "exclude_seen": False}
    ids, length = engine.catalogue.table[names.ITEM_ID].combine_chunks(), loaded.features.history_length
    past = [
        joined[names.TRAIN].slice(0, 0),
        joined[names.TRAIN],
        pa.concat_tables([joined[each] for each in SPLITS[:2]]),
    ]
    return {
        split: queries.build(known, joined[split], ids, history_length=length, **common)
        for split, known in zip(SPLITS, past, strict=True)
    }


@pytest.mark.parametrize("split", SPLITS)
def test_a_history_is_what_was_known_before_the_event(events, query_sets, loaded, split):
    found, length = query_sets[split], loaded.features.history_length
    assert len(found)
    # No user rates a film twice, so user and item determine the timestamp.
    when = events.set_index([names.USER_ID, names.ITEM_ID])[names.TIMESTAMP]
    assert when.index.is_unique
    users = found.users[names.USER_ID].to_pandas()
    members = pd.DataFrame({names.USER_ID: users, names.HISTORY: found.history.to_pylist()})
    members = members.explode(names.HISTORY).dropna()
    then = when.loc[pd.MultiIndex.from_frame(members)].to_numpy()
    assert (then < found.time[members.index]).all()
    np.testing.assert_array_equal(then, found.history_time.values.to_numpy())
    # A history is sorted from the oldest item, and is complete up to the maximum length.
    same_event = members.index[1:] == members.index[:-1]
    assert (np.diff(then)[same_event] >= 0).all()
    by_user = {user: np.sort(times) for user, times in events.groupby(names.USER_ID)[names.TIMESTAMP]}
    known = [np.searchsorted(by_user[user], time) for user, time in zip(users, found.time, strict=True)]
    lengths = found.history.value_lengths().to_numpy()
    np.testing.assert_array_equal(lengths, np.minimum(known, length))
    assert lengths.max() == length


def test_the_splits_hold_every_event_once_in_the_order_of_time(events, joined):
    rows = pd.concat([joined[split].to_pandas().assign(split=place) for place, split in enumerate(SPLITS)])
    keys = [names.USER_ID, names.ITEM_ID, names.TIMESTAMP]
    expected = events[keys].sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[keys].sort_values(keys).reset_index(drop=True), expected)
    by_user = rows.groupby([names.USER_ID, "split"])[names.TIMESTAMP].agg(["min", "max"]).unstack()
    for before, after in ((0, 1), (1, 2), (0, 2)):
        edges = pd.concat([by_user["max"][before], by_user["min"][after]], axis=1, keys=["end", "start"]).dropna()
        assert len(edges) > 100
        assert (edges["end"] < edges["start"]).all()


def test_a_planted_future_is_found_nowhere_before_it(finished, folders, joined, query_sets, lists, loaded):
    future = finished.future
    # The item of each user's last event, which is in test.
    assert pc.sum(pc.equal(joined[names.TEST][names.ITEM_ID], future)).as_py() == 150

    for split in SPLITS:
        assert future not in query_sets[split].history.flatten().to_pylist()
    for split in SPLITS[:2]:
        assert future not in joined[split][names.ITEM_ID].to_pylist()
        learned = read_lists(folders("CandidateGenerator", "candidates"), split, loaded.features)
        assert future not in learned[names.HISTORY]
        assert not learned[names.LABEL][learned[names.ITEM_ID] == future].any()
    assert future not in lists[names.HISTORY]


def test_lists_of_an_earlier_window_tell_what_came_then_by_what_was_known_before(folders, joined, loaded, events):
    train, evaluation = (joined[split] for split in SPLITS[:2])
    window = windows_before(train, evaluation, 1, of_each_user=True)
    lists = read_lists(folders("CandidateGenerator", "candidates"), names.TRAIN, loaded.features)
    # A user with two training lists has one from eval and, with the earlier query time, one from the window before.
    order = np.lexsort((lists[names.QUERY_TIME], lists[names.USER_ID]))
    users, times = lists[names.USER_ID][order], lists[names.QUERY_TIME][order]
    both = np.flatnonzero((users[1:] == users[:-1]) & (times[1:] > times[:-1]))
    assert len(both) > 50
    right = pd.MultiIndex.from_frame(train.filter(pa.array(window == 1)).to_pandas()[[names.USER_ID, names.ITEM_ID]])
    known = pd.MultiIndex.from_frame(train.filter(pa.array(window > 1)).to_pandas()[[names.USER_ID, names.ITEM_ID]])
    for place in order[both]:
        items = lists[names.ITEM_ID][place]
        of_user = pd.MultiIndex.from_product([[lists[names.USER_ID][place]], items[items != ""]])
        np.testing.assert_array_equal(lists[names.LABEL][place][items != ""], of_user.isin(right))
        assert not of_user.isin(known).any()


def test_an_earlier_retriever_knows_nothing_of_its_window_or_after(folders, joined, loaded, tmp_path):
    windows = WindowSettings(count=2, of_each_user=True)
    step = dag_settings.retrieval_step(loaded).model_copy(
        update={"model": "popularity", "params": {}, "windows": windows}
    )
    uri = folders("EventJoiner", "examples")
    arguments = SimpleNamespace(
        custom_config=custom_config(step, code=""),
        train_files=[f"{uri}/Split-train/*"],
        transform_graph_path=folders("Transform", "transform_graph"),
        model_run_dir=str(tmp_path),
        serving_model_dir=str(tmp_path / "final"),
        base_model=None,
    )
    run_fn.run_fn(arguments)
    train = joined[names.TRAIN]
    window = windows_before(train, joined[names.EVAL], 2, of_each_user=True)
    for back in range(3):
        [found] = (
            tf.saved_model.load(str(tmp_path / run_fn.early_model(back)))
            .signatures["similar"](item_id=tf.constant(["50"]), k=tf.constant(5))["item_id"]
            .numpy()
        )
        counts = train.filter(pa.array(window > back))[names.ITEM_ID].to_pandas().value_counts().drop("50")
        assert counts[found[0].decode()] == counts.iloc[0]
        assert counts[[each.decode() for each in found]].tolist() == counts.iloc[:5].tolist()


@pytest.mark.parametrize(
    "place", ["pipeline/Transform/transform_graph/*/transform_fn", "releases/*/retrieval", "releases/*/ranking"]
)
def test_no_vocabulary_knows_the_planted_future(finished, place):
    found = list(finished.runs.glob(f"{place}/assets/item_id_vocabulary*"))
    assert found
    for file in found:
        words = Path(file).read_text(encoding="utf-8").split()
        assert "50" in words
        assert finished.future not in words


def test_the_catalogue_holds_the_planted_item_all_the_same(finished, release):
    """An item without earlier events is in the index and can be recommended."""
    catalogue = read_arrow(release / names.CATALOGUE_FILE)
    assert finished.future in catalogue[names.ITEM_ID].to_pylist()
