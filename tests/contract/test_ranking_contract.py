"""The contract of ranking models, checked for every model in the registry."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from core import names
from trainer.ranking.contract import PER_CANDIDATE, list_ndcg
from trainer.ranking.registry import MODELS
from transform.features import raw_columns

pytestmark = pytest.mark.parametrize("name", list(MODELS.entries))
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def rank(world, name, inputs, output="score"):
    """Return an output of the SavedModel for candidate lists, by default the scores, [B, C]."""
    signature = world.loaded("ranking", name).signatures["rank"]
    return signature(**inputs)[output]


def raw_lists(world, count=6):
    """Return the raw inputs of the first `count` lists, and the keys of the inputs that have a value per candidate."""
    inputs = {key: value[:count].copy() for key, value in world.ranking_inputs()["rank"].items()}
    return inputs, (names.ITEM_ID, *raw_columns(world.features.item), *PER_CANDIDATE)


@pytest.mark.parametrize("signature", ["rank", "rank_examples"])
def test_a_new_process_without_our_code_gives_the_same_scores(world, elsewhere, name, signature):
    assert elsewhere.report["imported"] == []
    key = f"ranking.{name}.{signature}"
    there = elsewhere.answer(key)
    served = [world.loaded("ranking", name).signatures]
    if signature == "rank":  # `rank_examples` calls the same function of the model in memory
        served.append(world.signatures("ranking", name))
    for signatures in served:
        here = signatures[signature](**elsewhere.inputs_by_key[key])
        assert set(here) == set(there)
        for each, value in here.items():
            np.testing.assert_allclose(there[each], np.asarray(value), **CLOSE)


def test_only_stock_ops_that_a_server_has(elsewhere, name):
    found = elsewhere.report["models"][f"ranking.{name}.rank"]
    assert found["unregistered"] == []
    assert [op for op in found["ops"] if "PyFunc" in op] == []
    assert len(found["ops"]) > 10


def test_no_file_outside_the_model_is_needed(world, name):
    model = (world.saved("ranking", name) / "saved_model.pb").read_bytes()
    assert str(world.transform_folder).encode() not in model


def test_a_score_a_candidate_and_none_for_padding(world, name):
    inputs, _ = raw_lists(world, 12)
    scores = rank(world, name, inputs)
    padding = inputs[names.ITEM_ID] == ""
    assert scores.shape == inputs[names.ITEM_ID].shape
    assert padding.any()
    assert np.isneginf(scores[padding]).all()
    assert np.isfinite(scores[~padding]).all()
    assert len(np.unique(scores[~padding])) > padding.size / 2  # different candidates have different scores


def test_training_sees_what_serving_sees(world, name):
    """The scores of transformed lists, as in training, equal the scores of the same raw lists, as in serving."""
    data, lists = world.ranking_data, world.lists[1]
    labels = np.concatenate([data.validation[names.LABEL], data.train[names.LABEL]])
    np.testing.assert_array_equal(labels, lists[names.LABEL])
    columns = {key: tf.constant(np.concatenate([data.validation[key], data.train[key]])) for key in data.train}
    fitted_on = world.model("ranking", name).scores(columns).numpy()
    served = rank(world, name, world.ranking_inputs()["rank"])
    filled = lists[names.WEIGHT] > 0
    np.testing.assert_allclose(served[filled], fitted_on[filled], **CLOSE)


def test_examples_are_ranked_as_the_lists_they_were_made_from(world, name):
    inputs = world.ranking_inputs()
    signature = world.loaded("ranking", name).signatures["rank_examples"]
    found = signature(examples=inputs["rank_examples"]["examples"])["probability"]
    np.testing.assert_allclose(found, rank(world, name, inputs["rank"], "probability"), **CLOSE)
    assert (found[inputs["rank"][names.ITEM_ID] == ""] == 0).all()


def test_packed_candidates_are_ranked_as_the_same_candidates_with_all_columns(world, name):
    inputs, of_candidates = raw_lists(world, 12)
    signatures = world.loaded("ranking", name).signatures
    packed = signatures["pack"](**world.item_inputs())
    padded = {
        "integers": np.r_[packed["integers"], [[-1] + [0] * (packed["integers"].shape[1] - 1)]],
        "numbers": np.r_[packed["numbers"], np.zeros((1, packed["numbers"].shape[1]))],
    }
    rows = world.catalogue.rows(inputs[names.ITEM_ID].ravel()).reshape(inputs[names.ITEM_ID].shape)
    found = signatures["rank_packed"](
        **{key: value for key, value in inputs.items() if key not in of_candidates},
        **{key: value[rows] for key, value in padded.items()},
        signals=np.stack([inputs[key] for key in sorted(PER_CANDIDATE)], axis=2),
    )
    for output in ("score", "probability"):
        np.testing.assert_allclose(found[output], rank(world, name, inputs, output), **CLOSE)


def test_permuted_candidates_get_permuted_scores(world, name):
    inputs, of_candidates = raw_lists(world)
    before = rank(world, name, inputs)
    order = np.random.default_rng(0).permutation(before.shape[1])
    permuted = inputs | {key: inputs[key][:, order] for key in of_candidates}
    np.testing.assert_allclose(rank(world, name, permuted), before[:, order], **CLOSE)


def test_more_padding_and_another_batch_change_nothing(world, name):
    inputs, of_candidates = raw_lists(world)
    before = rank(world, name, inputs)
    wider = {}
    for key in of_candidates:
        missing = {names.RETRIEVAL_SCORE: 0.0, names.RETRIEVAL_RANK: 99.0}.get(key, np.nan)
        fill = "" if inputs[key].dtype == object else missing
        wider[key] = np.pad(inputs[key], ((0, 0), (0, 4), *([(0, 0)] * (inputs[key].ndim - 2))), constant_values=fill)
    after = rank(world, name, inputs | wider)
    np.testing.assert_allclose(after[:, :-4], before, **CLOSE)
    assert np.isneginf(after[:, -4:]).all()
    for row in range(3):
        alone = rank(world, name, {key: value[row : row + 1] for key, value in inputs.items()})
        np.testing.assert_allclose(alone[0], before[row], **CLOSE)


def test_odd_queries_and_candidates_are_scored(world, name):
    """Unknown users, items and values, empty and too long histories, and missing features do not break scoring."""
    inputs, _ = raw_lists(world)
    inputs |= world.odd_query()
    inputs[names.HISTORY_TIME] = np.zeros(inputs[names.HISTORY].shape, np.int64)  # the times are unknown
    inputs[names.ITEM_ID][:, 0] = ["never seen", world.cold_item, *inputs[names.ITEM_ID][2:, 0]]
    inputs["brand"][:, 1], inputs["price"][:, 1], inputs["year"][:, 1], inputs["genres"][:, 1] = "", np.nan, np.nan, ""
    inputs["brand"][0, 2], inputs["genres"][0, 2] = "new brand", ["a genre nobody has", "", ""]
    scores = rank(world, name, inputs)
    filled = inputs[names.ITEM_ID] != ""
    assert np.isfinite(scores[filled]).all()
    assert np.isneginf(scores[~filled]).all()


def test_of_a_long_history_the_latest_count(world, name):
    inputs, _ = raw_lists(world)
    met = np.array([[f"i{row}" for row in range(12)]] * 6, object)
    times = np.tile(np.arange(1, 13) * 1_000_000, (6, 1))
    full = rank(world, name, inputs | {names.HISTORY: met, names.HISTORY_TIME: times})
    late = slice(-world.features.history_length, None)
    latest = rank(world, name, inputs | {names.HISTORY: met[:, late], names.HISTORY_TIME: times[:, late]})
    np.testing.assert_allclose(latest, full, **CLOSE)


def test_the_same_seed_gives_the_same_model(world, name):
    again = world.fit("ranking", name)
    columns = {key: tf.constant(value) for key, value in world.ranking_data.validation.items()}
    first, second = (model.scores(dict(columns)).numpy() for model in (world.model("ranking", name), again))
    np.testing.assert_array_equal(first, second)


def test_a_model_learns(world, name):
    """If the items of one brand are relevant, a model ranks them first, in validation lists as well."""
    data = world.ranking_data
    brand = np.bincount(data.train["brand"][data.train[names.WEIGHT] > 0]).argmax()
    parts = {}
    for part in ("train", "validation"):
        columns = getattr(data, part)
        right = (columns["brand"] == brand) & (columns[names.WEIGHT] > 0)
        parts[part] = columns | {names.LABEL: right.astype(np.float32)}
    ranker = world.fit("ranking", name, dataclasses.replace(data, **parts))
    columns = parts["validation"]
    scores = ranker.scores({key: tf.constant(value) for key, value in columns.items()}).numpy()
    assert 0.1 < columns[names.LABEL].mean() < 0.5
    assert list_ndcg(scores, columns[names.LABEL], columns[names.WEIGHT], 10) > 0.9
    retrieved = -columns[names.RETRIEVAL_RANK]
    assert list_ndcg(retrieved, columns[names.LABEL], columns[names.WEIGHT], 10) < 0.7
