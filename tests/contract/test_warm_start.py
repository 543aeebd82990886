"""Warm start: what a fit begins with, vocabularies that grow, and bases that know events of eval or test."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from core import names
from core.arrow import read_arrow, write_arrow
from core.events import write_events
from core.files import read_json
from core.query_settings import QuerySettings, WindowSettings
from trainer import data as training
from trainer.retrieval import run_fn as retrieval
from trainer.retrieval.registry import MODELS
from trainer.retrieval.warm_start import files
from trainer.retrieval.warm_start.base import VARIABLES, Base
from trainer.retrieval.warm_start.rows import Vocabularies
from trainer.step_settings import RetrievalStepSettings, custom_config
from transform import analysis, vocabularies
from transform.features import raw_columns
from transform.names import index_outputs
from transform.names import vocabularies as vocabulary_names

SEED = 7
STILL = {"epochs": 1, "learning_rate": 1e-12}  # a fit that changes no weight
TOWER = {"dim": 8, "epochs": 2}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def fitted(model, data, **params):
    return MODELS[model].load()(MODELS.check(model, params), data, SEED)


def base_of(world, model, folder, now=None):
    """Return the base that a saved model is; `now` is the folder of the transform graph, if it is another one."""
    model.save(str(folder))
    before = vocabularies.read(folder, world.features)
    after = transform_vocabularies(now, world.features) if now else before
    of = {
        each.column: Vocabularies(before.get(each.vocabulary, ()), after.get(each.vocabulary, ()))
        for each in index_outputs(world.features)
    }
    return Base.read(folder / VARIABLES, of)


def transform_vocabularies(folder, features):
    output = tft.TFTransformOutput(str(folder))
    return {name: output.vocabulary_by_name(name) for name in vocabulary_names(features)}


def scores(model, world):
    query = {name: tf.constant(value) for name, value in world.query().items()}
    return model.scores(query).numpy()


def embeddings(model):
    return model.towers.query.items.table.embeddings.numpy()


# ---- the weights ----


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """Return a fitted model, and the base that it is."""
    before = fitted("two_tower", world.retrieval_data(), epochs=2, dim=8)
    return before, base_of(world, before, tmp_path_factory.mktemp("trained") / "model")


def test_a_fit_that_learns_nothing_scores_as_its_base(world, trained):
    before, base = trained
    data = world.retrieval_data()
    after, cold = (fitted("two_tower", replace(data, base=each), dim=8, **STILL) for each in (base, None))
    np.testing.assert_allclose(scores(after, world), scores(before, world), **CLOSE)
    assert np.abs(scores(cold, world) - scores(before, world)).max() > 0.01


def test_the_members_of_a_fusion_begin_with_their_own_weights(world, tmp_path):
    members = {history: {"model": "two_tower", "history": history, "dim": 4} for history in ("gru", "sasrec")}
    models = {label: params | {"epochs": 2} for label, params in members.items()} | {"popularity": {}}
    data = world.retrieval_data()
    before = fitted("fusion", data, models=models)
    base = base_of(world, before, tmp_path / "model")
    still = {label: params | STILL for label, params in members.items()} | {"popularity": {}}
    after = fitted("fusion", replace(data, base=base), models=still)
    for label in members:
        found, expected = (scores(model.members[label], world) for model in (after, before))
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_the_same_base_and_seed_give_the_same_model(world, trained):
    data, (_, base) = world.retrieval_data(), trained
    one, other = (fitted("two_tower", replace(data, base=base), epochs=2, dim=8) for _ in range(2))
    np.testing.assert_array_equal(scores(one, world), scores(other, world))


def test_a_weight_of_another_shape_is_initialised_anew(world, trained):
    data, (before, base) = world.retrieval_data(), trained
    deeper = fitted("two_tower", replace(data, base=base), dim=8, hidden=(6,), **STILL)
    np.testing.assert_allclose(embeddings(deeper), embeddings(before), atol=1e-6)
    assert deeper.towers.query.out.kernel.shape != before.towers.query.out.kernel.shape
    wider = fitted("two_tower", replace(data, base=base), dim=16, **STILL)
    cold = fitted("two_tower", data, dim=16, **STILL)
    np.testing.assert_allclose(scores(wider, world), scores(cold, world), **CLOSE)


# ---- grown vocabularies ----


@pytest.fixture(scope="module")
def grown(world, tmp_path_factory):
    """Return the events with the transform graph of their first half, and with that graph grown by the second half."""
    folder = tmp_path_factory.mktemp("grown")
    train = world.parts[names.TRAIN]
    half = np.median(train[names.TIMESTAMP].to_numpy())
    whole = pa.concat_tables([train, world.parts[names.EVAL]])

    rows = np.unique(whole[names.USER_ID].to_numpy(), return_index=True)[1]
    users = whole.select([names.USER_ID, *raw_columns(world.features.user)]).take(pa.array(rows))

    def graph(name, events, earlier=None):
        known = [
            analysis.with_event_counts(table, key, events[key])
            for key, table in ((names.USER_ID, users), (names.ITEM_ID, world.items))
        ]
        analysis.write_graph(world.features, *known, folder / name, earlier)
        return training.Events(world.events.uri, world.features, tft.TFTransformOutput(str(folder / name)))

    first = graph("first", train.filter(pc.less(train[names.TIMESTAMP], half)))
    earlier = transform_vocabularies(folder / "first", world.features)
    return first, graph("second", whole, earlier), folder, half


def test_values_keep_their_indices_and_new_ones_follow(world, grown):
    first, second, folder, _ = grown
    before, after = (transform_vocabularies(folder / name, world.features) for name in ("first", "second"))
    longer = 0
    for name, values in before.items():
        if values != [b"\xef\xbf\xbf no value"]:
            assert after[name][: len(values)] == values, name
        assert len(set(after[name])) == len(after[name])
        longer += len(after[name]) > len(values)
    assert longer >= 2  # users and items
    assert second.sizes[names.USER_ID] > first.sizes[names.USER_ID]


def test_an_id_keeps_its_vector_and_a_new_id_has_one_of_a_cold_start(world, grown, tmp_path):
    first, second, folder, half = grown
    data = first.data([names.TRAIN], None)
    before = fitted("two_tower", data.where(data.timestamps < half), epochs=2, dim=8)
    base = base_of(world, before, tmp_path / "model", folder / "second")
    data = second.data([names.TRAIN], None)
    warm, cold = (fitted("two_tower", replace(data, base=each), dim=8, **STILL) for each in (base, None))
    old, new = base.vocabularies[names.ITEM_ID].before, base.vocabularies[names.ITEM_ID].now
    np.testing.assert_allclose(embeddings(warm)[1 : 1 + len(old)], embeddings(before)[1 : 1 + len(old)], atol=1e-6)
    added = slice(1 + len(old), 1 + len(new))
    assert len(new) > len(old)
    np.testing.assert_allclose(embeddings(warm)[added], embeddings(cold)[added], atol=1e-6)
    assert np.linalg.norm(embeddings(warm)[added], axis=1).min() > 0
    buckets = slice(-world.features.id_oov_buckets, None)
    np.testing.assert_allclose(embeddings(warm)[buckets], embeddings(before)[buckets], atol=1e-6)


# ---- the run function, and what it may begin with ----


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """Return a function that calls the run function on given splits; it returns the model's folder and the log."""
    folder = tmp_path_factory.mktemp("runs")

    def call(name, train, evaluation, base_model, model="two_tower", params=TOWER):
        uri = folder / name / "events"
        for split, part in ((names.TRAIN, train), (names.EVAL, evaluation)):
            write_events(part, uri, split, "all")
        write_arrow(world.items, uri / names.CATALOGUE_FILE)
        settings = RetrievalStepSettings(
            model=model,
            params=params,
            features=world.features,
            seed=SEED,
            queries=QuerySettings(unit="user", exclude_seen=True, in_time=True),
            max_queries=100,
            windows=WindowSettings(count=0, of_each_user=False),
        )
        fn_args = SimpleNamespace(
            train_files=[str(uri / "Split-train" / "*")],
            transform_graph_path=str(world.transform_folder),
            custom_config=custom_config(settings, ""),
            base_model=None if base_model is None else str(base_model),
            model_run_dir=str(folder / name / "run"),
            serving_model_dir=str(folder / name / "model"),
        )
        retrieval.run_fn(fn_args)
        return folder / name / "model", read_json(folder / name / "run" / names.TRAINING_FILE)

    return call


@pytest.fixture(scope="module")
def small(world, run):
    """Return the result of a run without a release."""
    return run("small", world.parts[names.TRAIN], world.parts[names.EVAL], Path("nothing"))


def start(world, folder, train, evaluation):
    """Return how the run function would begin with the model in a folder."""
    early = files.last_events(train)
    given = {files.EARLY: early, files.RELEASED: files.last_events(early, evaluation)}
    vocabularies_now = transform_vocabularies(world.transform_folder, world.features)
    return files.read(folder, world.features, vocabularies_now, given, False)


def test_each_model_begins_with_that_of_the_earlier_run_unless_it_knows_what_is_now_eval(world, run, small):
    train, evaluation, test = (world.parts[split] for split in (names.TRAIN, names.EVAL, names.TEST))
    folder, log = small
    assert log["warm_start"] == "there is no release to begin with"
    grown, log = run("grown", pa.concat_tables([train, evaluation]), test, folder)
    assert log["warm_start"] == "warm"
    leaking = start(world, grown, train, evaluation)
    assert not leaking.bases
    assert leaking.reason.startswith("the early model of the release in force knows events of")
    assert "eval or test" in leaking.reason


def test_a_release_without_weights_of_both_models_is_no_base(world, run, tmp_path):
    train, evaluation = world.parts[names.TRAIN], world.parts[names.EVAL]
    plain, log = run("plain", train, evaluation, None, model="popularity", params={})
    assert "warm_start" not in log
    assert not (plain / files.FOLDER).exists()
    reason = start(world, plain, train, evaluation).reason
    assert reason == "the release in force was made without `retrieval.warm_start`"


def test_what_an_earlier_base_knew_is_known_by_all_later_models(world, run, small):
    train, evaluation = world.parts[names.TRAIN], world.parts[names.EVAL]
    users = train.filter(pc.not_equal(train[names.USER_ID], "u3"))
    second, log = run("second", users, evaluation, small[0])
    assert log["warm_start"] == "warm"
    known = {
        fit: dict(zip(*(table[column].to_pylist() for column in (names.USER_ID, names.TIMESTAMP)), strict=True))
        for fit, table in (
            (fit, read_arrow(second / files.FOLDER / f"{fit}.arrow")) for fit in (files.EARLY, files.RELEASED)
        )
    }
    last = {user: known[files.EARLY][user] for user in ("u3", "u4")}
    assert last == {
        user: pc.max(train.filter(pc.equal(train[names.USER_ID], user))[names.TIMESTAMP]).as_py() for user in last
    }
    assert all(known[files.RELEASED][user] >= time for user, time in known[files.EARLY].items())
