"""The index over the catalogue: recall against exact search, exclusion, and the refusal of an index with low recall."""

import numpy as np
import pyarrow as pa
import pytest

from components.candidate_index import index
from core import names
from core.errors import ModelError
from core.names import EVAL, TRAIN
from serving.candidate_source import SIGNATURES, CandidateSource, index_file
from serving.retrieval import similar
from trainer.registry import rank_signal
from trainer.retrieval import inference, table_files
from trainer.retrieval.registry import MODELS

BAR = 0.95
EMBEDDING = [name for name, entry in MODELS.entries.items() if entry.embeddings]
EXACT, GRAPH = [(name, "exact") for name in MODELS.entries], [(name, "hnsw") for name in [*EMBEDDING, "fusion"]]
DENSE = {"repeats", "graph_filter", "knn_baseline"}  # models that score all items themselves
CLUSTERS = [(name, "ivf") for name in ("two_tower", "fusion")]
without_index = pytest.mark.parametrize("case", EXACT, indirect=True, scope="module", ids="-".join)
embedding_models = pytest.mark.parametrize("case", GRAPH[:-1], indirect=True, scope="module", ids="-".join)


@pytest.fixture(scope="module", params=EXACT + GRAPH + CLUSTERS, ids="-".join)
def case(request):
    """Return a model and a kind of index."""
    return request.param


@pytest.fixture(scope="module")
def name(case):
    return case[0]


@pytest.fixture(scope="module")
def embeddings(world, name):
    wanted = (*SIGNATURES, "embed_candidate")
    source = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features, wanted)
    return index.embeddings_of(source, world.items, world.features)


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory, embeddings):
    folder = tmp_path_factory.mktemp("-".join(case))
    index.build(case[1], embeddings, folder)
    return folder


@pytest.fixture(scope="module")
def source(world, name, folder):
    return CandidateSource(world.saved("retrieval", name), folder, world.catalogue, world.features)


@pytest.fixture(scope="module")
def query_set(world):
    return world.query_set([TRAIN], EVAL)


def test_every_item_is_embedded_cold_ones_too(world, name, embeddings):
    expected = {"model"} if name in EMBEDDING else set()
    if name == "fusion":
        expected = {label for label, member in world.model("retrieval", name).members.items() if label in EMBEDDING}
        assert expected
    assert set(embeddings) == expected
    for vectors in embeddings.values():
        assert len(vectors) == len(world.ids)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()


def test_an_index_answers_as_the_model_alone_does(world, name, source, query_set):
    alone = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features)
    for k in (1, 10, 40, 100):
        found, alike = source.retrieve(query_set, k), alone.retrieve(query_set, k)
        rows, scores, expected, expected_scores = found.rows, found.scores, alike.rows, alike.scores
        assert rows.shape == scores.shape == (len(query_set), min(k, 40))
        assert rows.dtype == np.int32
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(rows == -1, expected == -1)
        np.testing.assert_array_equal(np.isneginf(scores), rows == -1)
        assert (rows == expected).mean() > BAR  # items with equal scores may be in another order


@without_index
def test_lists_and_scores_are_those_of_the_signatures_of_the_model(world, name, query_set):
    """The lists that are made from tables equal those of `retrieve` and `score`, which a server of models calls."""
    source = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features)
    signatures = world.loaded("retrieval", name).signatures
    users, n_items = world.features.user, len(world.catalogue)
    for k in (5, 40):
        found = source.retrieve(query_set, k)
        expected = inference.retrieve(signatures["retrieve"], query_set, users, n_items, k)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
        assert set(found.signals) == set(expected.signals)
        same = found.rows == expected.rows  # items with equal scores may be in another order
        assert same.mean() > BAR
        for signal, values in found.signals.items():
            here = same & (found.rows >= 0)
            assert np.isclose(values[here], expected.signals[signal][here], rtol=1e-5, atol=1e-5).mean() > BAR
    rows = np.tile(np.r_[np.arange(0, n_items, 3), -1], (len(query_set), 1)).astype(np.int32)
    ids = world.catalogue.gather(names.ITEM_ID, rows)
    found, expected = (
        source.score(query_set, rows),
        inference.score(signatures["score"], query_set, users, n_items, rows, ids),
    )
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def with_twins(world, source):
    """Return a retriever with two more items, which have the features of the cold one."""
    twin = world.catalogue.table.slice(world.catalogue.row(world.cold_item), 1)
    twin = twin.set_column(twin.schema.get_field_index(names.ITEM_ID), names.ITEM_ID, pa.array(["new"]))
    for _ in range(2):  # the same id, since the bucket of an unknown id depends on it
        source = source.with_items(source.catalogue.with_items(twin))
    return source


@without_index
def test_an_added_item_is_scored_as_a_cold_one_of_the_same_features(world, name, query_set):
    source = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features)
    n_items, cold, added = len(world.catalogue), world.catalogue.row(world.cold_item), with_twins(world, source)
    queries = query_set.take(np.arange(20))
    rows = np.tile([cold, n_items, n_items + 1, 0, 1, -1], (len(queries), 1)).astype(np.int32)
    found = added.score(queries, rows)
    of_parts = {key: values for key, values in found.signals.items() if not key.startswith(rank_signal(""))}
    for each in (of_parts or {"score": found.scores}).values():
        np.testing.assert_allclose(each[:, 1], each[:, 2], rtol=1e-5)
        if name not in DENSE:
            np.testing.assert_allclose(each[:, 1], each[:, 0], rtol=1e-5, atol=1e-6)
    listed, before = added.retrieve(queries, n_items + 2), source.retrieve(queries, n_items)
    for own, others in zip(listed.rows, before.rows, strict=True):
        assert set(own.tolist()) - {n_items, n_items + 1, -1} == set(others.tolist()) - {-1}
        assert {n_items, n_items + 1} <= set(own.tolist())
    if name != "fusion":  # whose scores depend on the positions
        for place, own in enumerate(listed.rows):
            expected = before.rows[place][before.rows[place] >= 0]
            np.testing.assert_array_equal(own[own < n_items][: len(expected)], expected)
    masks = [np.r_[np.zeros(n_items, bool), True, False]] * len(queries)
    assert (added.retrieve(queries, 5, masks).rows == [n_items, -1, -1, -1, -1]).all()


@without_index
def test_similar_items_are_those_of_the_signature_of_the_model(world, name):
    source = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features)
    signature, same = world.loaded("retrieval", name).signatures["similar"], []
    for item in world.ids.to_pylist()[::3]:
        for k in (4, 100):
            rows, scores = source.similar(item, k)
            answer = signature(item_id=[item], k=k)
            known = answer[names.ITEM_ROW][0] >= 0
            np.testing.assert_allclose(scores, answer[names.SCORE][0][known], rtol=1e-4, atol=1e-5)
            same.append(rows == answer[names.ITEM_ROW][0][known])  # items with equal scores may be in another order
    assert np.concatenate(same).mean() > BAR


@without_index
def test_items_similar_to_an_added_one_are_those_of_a_cold_one_of_the_same_features(world, name):
    source = CandidateSource(world.saved("retrieval", name), None, world.catalogue, world.features)
    n_items, cold, added = len(world.catalogue), world.catalogue.row(world.cold_item), with_twins(world, source)
    if not similar.possible(table_files.read(world.saved("retrieval", name))[0]):
        return  # the signature of the model compares its own items alone
    others, its_scores = added.similar(world.ids[0].as_py(), n_items + 2)
    before, scores = source.similar(world.ids[0].as_py(), n_items)
    rows, found = added.similar("new", n_items + 2)
    if source.embeddings:
        assert {n_items, n_items + 1} <= set(others.tolist())
    else:
        np.testing.assert_array_equal(others, before[scores > -np.inf])
    if name not in ("content", "two_tower"):  # models of events know nothing of a cold item
        assert not len(rows)
        return
    assert n_items + 1 not in rows
    assert set(rows[:2].tolist()) == {cold, n_items}
    of_cold = dict(zip(*map(np.ndarray.tolist, source.similar(world.cold_item, n_items)), strict=True))
    own = dict(zip(rows.tolist(), found.tolist(), strict=True))
    for row, score in of_cold.items():
        assert own[row] == pytest.approx(score, abs=1e-5) or row == cold
    np.testing.assert_array_equal(others[others < n_items], before)
    np.testing.assert_allclose(its_scores[others < n_items], scores, rtol=1e-6)


def test_seen_items_are_never_returned(world, source, query_set):
    rows = source.retrieve(query_set, 40).rows
    ids = world.ids.to_pylist()
    longest = 0
    for row, seen in zip(rows, query_set.seen.to_pylist(), strict=True):
        found = [ids[item] for item in row if item >= 0]
        assert set(found) == set(ids) - set(seen)
        assert len(found) == len(set(found))
        assert (row[len(found) :] == -1).all()
        longest = max(longest, len(seen))
    assert longest > 3


def test_a_user_who_has_seen_everything_gets_no_item(world, source, query_set):
    everything = pa.array([world.ids.to_pylist()] * 2)
    queries = query_set.take(np.arange(2))
    found = source.retrieve(type(queries)(**{**vars(queries), "seen": everything}), 10)
    rows, scores = found.rows, found.scores
    assert (rows == -1).all()
    assert np.isneginf(scores).all()


def test_more_queries_than_a_batch_are_answered_in_order(monkeypatch, source, query_set):
    together = source.retrieve(query_set, 10)
    monkeypatch.setattr(inference, "BATCH", 7)
    found = source.retrieve(query_set, 10)
    np.testing.assert_array_equal(found.rows, together.rows)
    np.testing.assert_allclose(found.scores, together.scores, rtol=1e-5, atol=1e-6)


def test_recall_is_measured_against_exact_search(world, source, embeddings, query_set):
    if not embeddings:
        return  # no embeddings to measure recall with: the model retrieves without an index
    recall = index.recall(source, embeddings, everything_allowed(query_set), 10)
    assert recall >= BAR
    index.check(recall, BAR, "any")


@embedding_models
def test_an_index_that_finds_too_little_is_refused(world, name, embeddings, query_set, tmp_path):
    others = {label: np.random.default_rng(0).permutation(vectors) for label, vectors in embeddings.items()}
    index.build("hnsw", others, tmp_path)  # embeddings of other items
    wrong = CandidateSource(world.saved("retrieval", name), tmp_path, world.catalogue, world.features)
    recall = index.recall(wrong, embeddings, everything_allowed(query_set), 10)
    assert recall < 0.6
    with pytest.raises(ModelError, match=r"`hnsw`.* 0\.\d{4} .*retrieval\.index\.min_recall.* 0\.95"):
        index.check(recall, BAR, "hnsw")


@embedding_models
def test_a_model_that_embeds_another_way_than_it_compares_is_refused(world, name, embeddings, query_set, tmp_path):
    """The kind `exact` retrieves with the model, so its lists must agree with the embeddings of the model."""
    index.build("exact", embeddings, tmp_path)
    source = CandidateSource(world.saved("retrieval", name), tmp_path, world.catalogue, world.features)
    others = {label: vectors[::-1].copy() for label, vectors in embeddings.items()}
    assert index.recall(source, others, everything_allowed(query_set), 10) < 0.6


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_the_same_embeddings_give_the_same_index(tmp_path, kind):
    vectors = np.random.default_rng(1).normal(size=(2000, 16)).astype(np.float32)
    files = []
    for attempt in ("first", "second"):
        (tmp_path / attempt).mkdir()
        index.build(kind, {"model": vectors}, tmp_path / attempt)
        files.append((tmp_path / attempt / index_file("model")).read_bytes())
    assert files[0] == files[1]


def test_a_graph_needs_embeddings(tmp_path):
    with pytest.raises(ModelError, match="embeddings"):
        index.build("hnsw", {}, tmp_path)


def everything_allowed(queries):
    return type(queries)(**{**vars(queries), "seen": pa.array([[]] * len(queries), pa.list_(pa.string()))})
