"""Deletion of artifacts of old runs, but not of cached artifacts of kept runs, on a store of ML Metadata."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.runners import retention


class Runs:
    """Recorded runs of a pipeline in which each node has one output artifact."""

    def __init__(self, folder):
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(folder / "metadata.db")
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store, self.root = metadata_store.MetadataStore(config), folder / "pipeline"
        self.model = self.store.put_artifact_type(mlmd.ArtifactType(name="Model"))
        self.execution = self.store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
        self.last = self.store.put_execution_type(mlmd.ExecutionType(name="components.ReleasePusher"))
        self.context = self.store.put_context_type(mlmd.ContextType(name="pipeline_run"))

    def run(self, name, *, makes=0, takes=(), complete=True):
        """Record a run that makes `makes` artifacts and takes `takes` from the cache; return the new artifacts."""
        [context] = self.store.put_contexts([mlmd.Context(type_id=self.context, name=name)])
        if complete:
            last = mlmd.Execution(type_id=self.last, last_known_state=mlmd.Execution.CACHED)
            [pusher] = self.store.put_executions([last])
            self.store.put_attributions_and_associations(
                [], [mlmd.Association(execution_id=pusher, context_id=context)]
            )
        made = []
        for cached in [*[None] * makes, *takes]:
            [execution] = self.store.put_executions([mlmd.Execution(type_id=self.execution)])
            artifact = cached
            if artifact is None:
                folder = self.root / "Trainer" / "model" / str(execution)
                folder.mkdir(parents=True)
                (folder / "weights").write_text(name)
                (self.root / "Trainer" / ".system" / "executor_execution" / str(execution)).mkdir(parents=True)
                [artifact] = self.store.put_artifacts([mlmd.Artifact(type_id=self.model, uri=str(folder))])
                made.append((artifact, folder))
            event = mlmd.Event(execution_id=execution, artifact_id=artifact, type=mlmd.Event.OUTPUT)
            self.store.put_events([event])
            association = mlmd.Association(execution_id=execution, context_id=context)
            self.store.put_attributions_and_associations([], [association])
        return made


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_what_the_latest_runs_made_or_took_from_cache_stays(runs):
    [(old, old_folder), (_, unused)] = runs.run("1", makes=2)
    [(_, second)] = runs.run("2", makes=1)
    [(_, third)] = runs.run("3", makes=1, takes=[old])
    [(_, fourth)] = runs.run("4", makes=1)
    gone = retention.collect(runs.store, runs.root, 2)
    assert old_folder.exists()
    assert third.exists()
    assert fourth.exists()
    assert not unused.exists()
    assert not second.exists()
    assert {unused, second} <= set(gone)
    left = {path.name for path in (runs.root / "Trainer" / ".system" / "executor_execution").iterdir()}
    assert left == {third.name, fourth.name}
    assert retention.collect(runs.store, runs.root, 2) == []


def test_parts_of_runs_do_not_evict_what_a_complete_run_made(runs):
    [(_, model)] = runs.run("1", makes=1)
    parts = [runs.run(str(number), makes=1, complete=False)[0][1] for number in range(2, 9)]
    assert retention.collect(runs.store, runs.root, 1) == []
    assert model.exists()
    assert all(part.exists() for part in parts)


def test_fewer_runs_than_are_kept_delete_nothing(runs):
    [(_, model)] = runs.run("1", makes=1)
    assert retention.collect(runs.store, runs.root, 2) == []
    assert model.exists()


def test_before_any_run_there_is_nothing_to_delete(runs):
    assert retention.collect(runs.store, runs.root, 1) == []
