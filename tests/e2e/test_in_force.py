"""Which earlier models are compared with, asked of a real metadata store."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.recommender_evaluator.last_blessed import LastBlessed, model_id


@pytest.fixture
def store(tmp_path):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(config)


class History:
    """The artifacts of a pipeline that ran before."""

    def __init__(self, store):
        self.store, self.blessings = store, []

    def model(self, uri):
        return self._put(standard_artifacts.Model(), uri)

    def judge(self, retrieval, ranking, blessed):
        blessing = standard_artifacts.ModelBlessing()
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_int_custom_property(model_id("retrieval_model"), retrieval.id)
        blessing.set_int_custom_property(model_id("ranking_model"), ranking.id)
        self.blessings.append(self._put(blessing, f"/blessing/{len(self.blessings)}"))
        return self.blessings[-1]

    def resolve(self, **current):
        given = {"blessing": self.blessings, **{key: [model] for key, model in current.items()}}
        found = LastBlessed().resolve_artifacts(self.store, given)
        assert set(found) == set(given)
        return {key: [artifact.uri for artifact in artifacts] for key, artifacts in found.items()}

    def _put(self, artifact, uri):
        artifact.uri = uri
        type_id = self.store.put_artifact_type(artifact.artifact_type)
        artifact.mlmd_artifact.type_id = type_id
        [artifact_id] = self.store.put_artifacts([artifact.mlmd_artifact])
        [stored] = self.store.get_artifacts_by_id([artifact_id])
        [kind] = self.store.get_artifact_types_by_id([stored.type_id])
        return artifact_utils.deserialize_artifact(kind, stored)


@pytest.fixture
def history(store):
    return History(store)


NOTHING = {"blessing": [], "retrieval_model": [], "ranking_model": []}


def test_a_first_run_has_nothing_to_compare_with(history):
    assert history.resolve(retrieval_model=history.model("r1"), ranking_model=history.model("k1")) == NOTHING


def test_the_models_of_this_very_run_are_not_compared_with_themselves(history):
    retrieval, ranking = history.model("r1"), history.model("k1")
    history.judge(retrieval, ranking, blessed=True)
    assert history.resolve(retrieval_model=retrieval, ranking_model=ranking) == NOTHING


def test_the_newest_pair_that_was_blessed_together_is_found(history):
    pairs = [(history.model(f"r{n}"), history.model(f"k{n}")) for n in range(4)]
    for pair, blessed in zip(pairs, (True, True, False, True), strict=True):
        history.judge(*pair, blessed)
    now = {"retrieval_model": pairs[3][0], "ranking_model": pairs[3][1]}
    assert history.resolve(**now) == {"blessing": ["/blessing/1"], "retrieval_model": ["r1"], "ranking_model": ["k1"]}
    later = {"retrieval_model": history.model("r4"), "ranking_model": history.model("k4")}
    assert history.resolve(**later) == {"blessing": ["/blessing/3"], "retrieval_model": ["r3"], "ranking_model": ["k3"]}


def test_a_new_ranker_over_the_same_retriever_is_compared_with_the_old_pair(history):
    retrieval, old, new = history.model("r"), history.model("k-old"), history.model("k-new")
    history.judge(retrieval, old, blessed=True)
    found = history.resolve(retrieval_model=retrieval, ranking_model=new)
    assert (found["retrieval_model"], found["ranking_model"]) == (["r"], ["k-old"])
    # Of retrieval alone there is nothing new, so nothing to compare with.
    assert history.resolve(retrieval_model=retrieval) == {"blessing": [], "retrieval_model": []}


def test_models_that_were_held_back_are_never_found(history):
    for n in range(3):
        history.judge(history.model(f"r{n}"), history.model(f"k{n}"), blessed=False)
    assert history.resolve(retrieval_model=history.model("r"), ranking_model=history.model("k")) == NOTHING


def test_artifacts_are_told_by_id_and_not_by_order_given(history):
    for n in range(3):
        history.judge(history.model(f"r{n}"), history.model(f"k{n}"), blessed=True)
    history.blessings.reverse()
    found = history.resolve(retrieval_model=history.model("r"), ranking_model=history.model("k"))
    assert found["ranking_model"] == ["k2"]
