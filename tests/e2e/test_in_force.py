"""The choice of the release to compare with, on a store of ML Metadata and a folder of releases."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from datetime import UTC, datetime, timedelta

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.recommender_evaluator.in_force import ReleaseInForce
from components.types import Release
from core import names
from core.release import reader, writer


class History:
    """The earlier models and releases of a pipeline."""

    def __init__(self, folder):
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(folder / "metadata.db")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        self.folder, self.parts, self.made = folder / "releases", folder / "parts", []
        for name in (*reader.FOLDERS, *reader.FILES):
            (self.parts / name).mkdir(parents=True)
            (self.parts / name / "content").write_text(name)

    def model(self, uri):
        return self._put(standard_artifacts.Model(), uri)

    def release(self, retrieval, ranking, **more):
        """Publish a release of two models and further artifacts, and record it as ReleasePusher does."""
        parts = {name: self.parts / name for name in reader.FOLDERS}
        parts |= {name: self.parts / name / "content" for name in reader.FILES}
        (parts[names.EVALUATION_FILE]).write_text(str(len(self.made)))
        ids = {"retrieval_model": retrieval.id, "ranking_model": ranking.id}
        ids |= {key: artifact.id for key, artifact in more.items()}
        noon = datetime(2025, 1, 31, 12, tzinfo=UTC) + timedelta(minutes=len(self.made))
        version = writer.publish(self.folder, parts, {"ml_metadata": ids}, created=noon)
        artifact = Release()
        artifact.set_string_custom_property("version", version)
        self.made.append(self._put(artifact, str(self.folder / version)))
        return version

    def resolve(self, **models):
        given = {"release": self.made, **{key: [model] for key, model in models.items()}}
        found = ReleaseInForce(str(self.folder)).resolve_artifacts(self.store, given)
        assert set(found) == set(given)
        return [artifact.get_string_custom_property("version") for artifact in found["release"]]

    def pair(self, number):
        return {"retrieval_model": self.model(f"r{number}"), "ranking_model": self.model(f"k{number}")}

    def _put(self, artifact, uri):
        artifact.uri = uri
        artifact.mlmd_artifact.type_id = self.store.put_artifact_type(artifact.artifact_type)
        [artifact_id] = self.store.put_artifacts([artifact.mlmd_artifact])
        [stored] = self.store.get_artifacts_by_id([artifact_id])
        [kind] = self.store.get_artifact_types_by_id([stored.type_id])
        return artifact_utils.deserialize_artifact(kind, stored)


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def test_a_first_run_has_nothing_to_compare_with(history):
    assert history.resolve(**history.pair(1)) == []


def test_the_models_of_this_very_run_are_not_compared_with_themselves(history):
    pair = history.pair(1)
    history.release(*pair.values())
    assert history.resolve(**pair) == []


def test_the_release_in_force_is_found_and_for_its_own_models_the_one_before(history):
    pairs = [history.pair(number) for number in range(3)]
    versions = [history.release(*pair.values()) for pair in pairs]
    assert history.resolve(**history.pair(3)) == [versions[2]]
    assert history.resolve(**pairs[2]) == [versions[1]]


def test_a_release_that_was_rolled_back_is_no_baseline(history):
    versions = [history.release(*history.pair(number).values()) for number in range(3)]
    writer.rollback(history.folder, versions[0])
    assert history.resolve(**history.pair(3)) == [versions[0]]


def test_a_run_of_the_rolled_back_models_is_compared_as_it_was_before(history):
    first, second = history.pair(1), history.pair(2)
    version = history.release(*first.values())
    history.release(*second.values())
    assert history.resolve(**second) == [version]
    writer.rollback(history.folder)
    assert history.resolve(**second) == [version]  # as before, so that its evaluators come from the cache


def test_after_a_rollback_the_models_in_force_are_not_compared_with_those_rolled_back(history):
    first = history.pair(1)
    history.release(*first.values())
    history.release(*history.pair(2).values())
    writer.rollback(history.folder)
    assert history.resolve(**first) == []


def test_a_new_ranker_over_the_same_retriever_is_compared_with_the_old_pair(history):
    retrieval, old, new = history.model("r"), history.model("k-old"), history.model("k-new")
    version = history.release(retrieval, old)
    assert history.resolve(retrieval_model=retrieval, ranking_model=new) == [version]
    # The retriever is that of the release in force, so RetrievalEvaluator has no release to compare with.
    assert history.resolve(retrieval_model=retrieval) == []


def test_a_delivery_is_compared_with_the_release_in_force_of_another_one(history):
    first, second = (
        {f"{table}_statistics": history.model(f"{table}{n}") for table in ("items", "users")} for n in "12"
    )
    old = history.release(*history.pair(1).values(), **first)
    new = history.release(*history.pair(2).values(), **second)
    assert history.resolve(**second) == [old]  # not its own release, so that a repeated run comes from the cache
    assert history.resolve(**first) == [new]
    assert history.resolve(**second | {"items_statistics": history.model("items3")}) == [new]
    assert history.resolve(**second, interactions_statistics=history.model("events")) == [new]


def test_a_release_of_another_store_is_not_known(history, tmp_path):
    history.release(*history.pair(1).values())
    history.made.clear()  # the store has no record of the release, as for a release that was copied into the folder
    assert history.resolve(**history.pair(2)) == []


def test_a_damaged_store_of_releases_leaves_nothing_to_compare_with(history):
    history.release(*history.pair(1).values())
    (history.folder / reader.CURRENT).write_text("nonsense")
    assert history.resolve(**history.pair(2)) == []
