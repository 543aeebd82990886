"""The contract of retrieval models, checked for every model in the registry."""

import numpy as np
import pytest
import tensorflow as tf

from core import names
from core.errors import ModelError
from trainer.registry import RATINGS
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.registry import MODELS

pytestmark = pytest.mark.parametrize("name", list(MODELS.entries))
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def retrieve(world, name, query, exclude=None, k=10):
    """Return the item ids and the scores, [B, k] each, that the SavedModel retrieves."""
    rows = len(query[names.USER_ID])
    exclude = np.full((rows, 1), "", object) if exclude is None else np.array(exclude, object)
    signature = world.loaded("retrieval", name).signatures["retrieve"]
    return answered(signature, **query, **{names.EXCLUDE: exclude, names.K: np.int32(k)})


def answered(signature, **inputs):
    answer = signature(**inputs)
    return answer[names.ITEM_ID].astype("U"), answer["score"]


def by_item(ids, scores):
    """Return item → score for each query, without padding."""
    return [{item: score for item, score in zip(*row, strict=True) if item} for row in zip(ids, scores, strict=True)]


def one(query, row):
    return {key: value[row : row + 1] for key, value in query.items()}


# ---- in a separate process ----


def test_a_new_process_without_our_code_gives_the_same_answers(world, elsewhere, name):
    """The outputs equal those of the fitted model and those of its SavedModel in the engine's session."""
    assert elsewhere.report["imported"] == []
    served = set(world.loaded("retrieval", name).signatures) - {"serving_default"}
    assert {"retrieve", "similar"} <= served
    assert len(served & {"embed_query", "embed_candidate"}) in (0, 2)
    for signature in served:
        key = f"retrieval.{name}.{signature}"
        there = elsewhere.answer(key)
        for signatures in (world.signatures("retrieval", name), world.loaded("retrieval", name).signatures):
            here = signatures[signature](**elsewhere.inputs_by_key[key])
            assert set(here) == set(there)
            for each, value in here.items():
                if there[each].dtype.kind == "U":
                    np.testing.assert_array_equal(there[each], np.asarray(value).astype("U"))
                else:
                    np.testing.assert_allclose(there[each], np.asarray(value), **CLOSE)


def test_only_stock_ops_that_a_server_has(world, elsewhere, name):
    found = elsewhere.report["models"][f"retrieval.{name}.retrieve"]
    assert found["unregistered"] == []
    # PyFunc is registered in Python, but not in TensorFlow Serving.
    assert [op for op in found["ops"] if "PyFunc" in op] == []
    assert len(found["ops"]) > 10


def test_no_file_outside_the_model_is_needed(world, name):
    model = (world.saved("retrieval", name) / "saved_model.pb").read_bytes()
    assert str(world.transform_folder).encode() not in model


# ---- the shape of lists ----


@pytest.mark.parametrize("k", [1, 10, 39])
def test_k_items_best_first_each_once(world, name, k):
    ids, scores = retrieve(world, name, world.query(), k=k)
    assert ids.shape == scores.shape == (6, k)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == k for row in ids)
    assert set(ids.ravel()) <= set(world.ids.to_pylist())


def test_a_shorter_list_is_the_start_of_a_longer_one(world, name):
    long, _ = retrieve(world, name, world.query(), k=30)
    short, _ = retrieve(world, name, world.query(), k=10)
    np.testing.assert_array_equal(short, long[:, :10])


@pytest.mark.parametrize("k", [0, -3])
def test_k_of_nothing_is_an_empty_list(world, name, k):
    ids, scores = retrieve(world, name, world.query(), k=k)
    assert ids.shape == scores.shape == (6, 0)


@pytest.mark.parametrize("k", [40, 41, 1000])
def test_k_past_the_catalogue_is_all_of_it_cold_items_too(world, name, k):
    ids, scores = retrieve(world, name, world.query(), k=k)
    assert ids.shape == (6, 40)
    assert all(set(row) == set(world.ids.to_pylist()) for row in ids)
    assert world.cold_item in ids[0]
    assert np.isfinite(scores).all()


def test_no_queries_no_answers(world, name):
    ids, scores = retrieve(world, name, {key: value[:0] for key, value in world.query().items()}, np.full((0, 1), ""))
    assert ids.shape == scores.shape == (0, 10)


# ---- queries ----


def test_a_query_is_answered_the_same_in_any_batch_at_any_width(world, name):
    query = world.odd_query()
    together = by_item(*retrieve(world, name, query, k=40))
    wide = {**query, names.HISTORY: np.pad(query[names.HISTORY], ((0, 0), (0, 3)), constant_values="")}
    left = {**query, names.HISTORY: np.pad(query[names.HISTORY], ((0, 0), (2, 0)), constant_values="")}
    for changed in (wide, left):
        for before, after in zip(together, by_item(*retrieve(world, name, changed, k=40)), strict=True):
            assert after == pytest.approx(before, rel=1e-5, abs=1e-5)
    for row in range(len(together)):
        [alone] = by_item(*retrieve(world, name, one(query, row), k=40))
        assert alone == pytest.approx(together[row], rel=1e-5, abs=1e-5)


def test_odd_queries_are_answered(world, name):
    """Unknown and cold users, unknown items, empty and too long histories, and missing or unknown features."""
    ids, scores = retrieve(world, name, world.odd_query(), k=40)
    assert np.isfinite(scores).all()
    assert all(set(row) == set(world.ids.to_pylist()) for row in ids)


def test_a_history_of_no_width_is_empty(world, name):
    query = one(world.odd_query(), 3)
    assert set(query[names.HISTORY].ravel()) == {""}
    [padded] = by_item(*retrieve(world, name, query, k=40))
    query[names.HISTORY] = np.zeros((1, 0), object)
    assert by_item(*retrieve(world, name, query, np.zeros((1, 0), object), k=40))[0] == pytest.approx(padded, abs=1e-6)


def test_of_a_long_history_the_latest_count(world, name):
    query, length = one(world.odd_query(), 4), world.features.history_length
    [full] = by_item(*retrieve(world, name, query, k=40))
    [latest] = by_item(*retrieve(world, name, {**query, names.HISTORY: query[names.HISTORY][:, -length:]}, k=40))
    assert latest == pytest.approx(full, rel=1e-5, abs=1e-5)


# ---- exclusion ----


def test_excluded_items_are_left_out_and_nothing_else_changes(world, name):
    query = world.query()
    free_ids, free_scores = retrieve(world, name, query, k=40)
    exclude = np.array([["i0", "i2"], ["", ""], list(free_ids[2, :2]), ["unknown", ""], ["i1", "i1"], ["", "i39"]])
    ids, scores = retrieve(world, name, query, exclude, k=40)
    for row, before in enumerate(by_item(free_ids, free_scores)):
        gone = set(exclude[row]) & set(before)
        after = by_item(ids, scores)[row]
        left = {item: pytest.approx(score, abs=1e-6) for item, score in before.items() if item not in gone}
        if MODELS[name].members:  # the ranks of later items change, and so do scores that are made of ranks
            assert after.keys() == left.keys()
            assert gone or after == left
        else:
            assert after == left
        tail = slice(40 - len(gone), None)
        assert set(ids[row, tail]) <= {""}
        assert np.isneginf(scores[row, tail]).all()


def test_everything_excluded_leaves_nothing(world, name):
    query = world.query()
    ids, scores = retrieve(world, name, query, [world.ids.to_pylist()] * 6, k=10)
    assert set(ids.ravel()) == {""}
    assert np.isneginf(scores).all()


# ---- similar items ----


def test_similar_items_are_others_best_first(world, name):
    items = ["i0", "i1", world.cold_item]
    similar = world.loaded("retrieval", name).signatures["similar"]
    ids, scores = answered(similar, item_id=np.array(items, object), k=np.int32(40))
    assert ids.shape == (3, 40)
    for item, row, of_row in zip(items, ids, scores, strict=True):
        assert set(row) == {*world.ids.to_pylist(), ""} - {item}
        assert row[-1] == ""
        assert np.isneginf(of_row[-1])
        assert np.isfinite(of_row[:-1]).all()
        assert (np.diff(of_row[:-1]) <= 0).all()


def test_nothing_is_like_an_unknown_item(world, name):
    similar = world.loaded("retrieval", name).signatures["similar"]
    ids, scores = answered(similar, item_id=np.array(["unheard of", "", "i0"], object), k=np.int32(5))
    assert set(ids[:2].ravel()) == {""}
    assert np.isneginf(scores[:2]).all()
    assert "" not in ids[2]


# ---- embeddings ----


def test_the_embeddings_give_the_scores(world, name):
    signatures, query = world.loaded("retrieval", name).signatures, world.odd_query()
    assert ("embed_query" in signatures) == ("embed_candidate" in signatures) == MODELS[name].embeddings
    if not MODELS[name].embeddings:
        return  # the model has no embeddings
    embedded_queries = signatures["embed_query"](**query)["embedding"]
    embedded = signatures["embed_candidate"](**world.item_inputs())["embedding"]
    assert embedded_queries.shape[1] == embedded.shape[1]
    expected = embedded_queries @ embedded.T
    for row, found in enumerate(by_item(*retrieve(world, name, query, k=40))):
        np.testing.assert_allclose([found[item] for item in world.ids.to_pylist()], expected[row], **CLOSE)


# ---- fitting ----


def test_the_same_seed_gives_the_same_model(world, name):
    again = world.fit("retrieval", name)
    query = {key: tf.constant(value) for key, value in world.query().items()}
    first, second = (model.scores(dict(query)).numpy() for model in (world.model("retrieval", name), again))
    np.testing.assert_array_equal(first, second)


def test_a_model_learns(world, name):
    """Each user has mostly events with even or with odd items; more than half of the list is of the user's kind."""
    query = world.query_set(["train"], "eval")
    raw_inputs = world.query(len(query))
    ids, _ = retrieve(world, name, raw_inputs, k=8)
    kinds = np.array([[int(item[1:]) % 2 for item in row] for row in ids])
    own = np.array([int(user[1:]) % 2 for user in raw_inputs[names.USER_ID]])
    share = (kinds == own[:, None]).mean()
    assert share > 0.6 or not MODELS[name].personalised, share


def test_a_baseline_is_fitted_on_events_alone_and_the_others_say_why_not(world, name):
    full = world.retrieval_data()
    alone = RetrievalData(full.features, full.catalogue, full.users, full.items, full.timestamps)
    entry = MODELS[name]
    if MODELS.events_alone(name, {}):
        query = {key: tf.constant(value) for key, value in world.query().items()}
        scores = world.fit("retrieval", name, alone).scores(query).numpy()
        np.testing.assert_array_equal(scores, world.model("retrieval", name).scores(query).numpy())
    else:
        with pytest.raises(ModelError, match="ratings" if RATINGS in entry.learns_from else "transformed features"):
            entry.load()(MODELS.check(name, {}), alone, world.seed)
