"""ML Metadata in a real server of PostgreSQL: runs, cache, lineage, retention, and two pipelines at once."""

import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shop
from database_servers import PASSWORD, USER, Server, running
from facts import facts
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.proto.orchestration import pipeline_pb2

from core.errors import UsageError
from pipeline import config
from pipeline.config import paths
from pipeline.config.metadata import PASSWORD as VARIABLE
from pipeline.lineage.database import Database, store_of
from pipeline.runners import retention

NODES = 28


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shops")
    shop.make(folder)
    (folder / "password").write_text(PASSWORD + "\n")
    return folder


def postgresql(server: Server, database: str, **changes: object) -> dict[str, object]:
    settings = {"host": "127.0.0.1", "port": server.port, "database": database, "user": USER}
    return {"postgresql": settings | {"password_file": "password"} | changes}


@pytest.fixture(scope="module")
def both(server: Server, folder: Path) -> dict[str, Path]:
    """Return name → the configuration of a recommender; two have run at once, in a database that did not exist."""
    files = {
        name: shop.config(folder, name, metadata=postgresql(server, "shared"), keep_runs=1) for name in ("one", "other")
    }
    processes = {name: shop.start("run", file, "--workers", 2) for name, file in files.items()}
    for process in processes.values():
        assert re.search(r"^released ", shop.wait(process), re.MULTILINE)
    return files


def test_two_pipelines_at_once_use_the_same_types(server, both):
    twice = "SELECT name FROM type GROUP BY name, type_kind HAVING count(*) > 1"
    assert server.ask(twice, "shared") == []
    names = "SELECT c.name FROM context c JOIN type t ON t.id = c.type_id WHERE t.name = 'pipeline' ORDER BY c.name"
    assert server.ask(names, "shared") == ["one", "other"]


def test_each_pipeline_takes_its_own_outputs_from_the_cache(both):
    for name, file in both.items():
        output = shop.call("run", file, "--workers", 2)
        assert len(re.findall(r"^= ", output, re.MULTILINE)) == NODES, output
        database = paths.metadata_database(config.load(file))
        folders = [artifact.uri for artifact in database.open().get_artifacts() if f"/runs/{name}/" in artifact.uri]
        assert folders


def test_lineage_is_of_the_own_release_and_names_the_files(both, folder):
    releases = {}
    for name, file in both.items():
        output = shop.call("lineage", file)
        releases[name] = re.search(r"^Release (\S+) ", output)[1]
        assert "purchases.csv" in output
        assert "postgresql_metadata_source" not in output
        assert releases[name] in shop.call("lineage", file, folder / "data" / "purchases.csv")
    assert releases["one"] != releases["other"]
    foreign = shop.call("lineage", both["one"], releases["other"], code=2)
    assert releases["one"] in foreign


def test_retention_deletes_what_is_outdated_and_of_this_pipeline_only(both):
    loaded = config.load(both["one"])
    database, root = paths.metadata_database(loaded), paths.pipeline_root(loaded)
    other_root = paths.pipeline_root(config.load(both["other"]))
    before = set(other_root.rglob("*"))
    models = {path.name for path in (root / "RankingTrainer" / "model").iterdir()}
    values = both["one"].read_text()
    try:
        both["one"].write_text(values.replace("seed:", "#") + "\nseed: 7\n")
        shop.call("run", both["one"], "--workers", 2)
    finally:
        both["one"].write_text(values)
    now = {path.name for path in (root / "RankingTrainer" / "model").iterdir()}
    assert len(now) == 1
    assert not now & models
    assert set(other_root.rglob("*")) == before
    assert retention.collect(database.open(), root, 1, database.pipeline) == []


def test_the_password_is_in_no_file(both, folder):
    found = [path for path in (folder / "runs").rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert found == []


ROUNDS = 20


def nodes_with_types() -> list[pipeline_pb2.PipelineNode]:
    """Return nodes with twelve types of artifacts and of executions, and one of contexts."""
    nodes = []
    for number in range(12):
        node = pipeline_pb2.PipelineNode()
        node.node_info.type.name = f"Node{number}"
        node.outputs.outputs["made"].artifact_spec.type.name = f"Artifact{number}"
        node.contexts.contexts.add().type.name = "pipeline"
        nodes.append(node)
    return nodes


def register_types(messages: list[bytes], barrier: Any) -> None:
    """Create the same types in each database, each time at the same moment as another process."""
    from pipeline.runners import shared_types

    for message in messages:
        connection = mlmd.ConnectionConfig.FromString(message)
        store = store_of(connection)
        barrier.wait(240)  # the first time until the other process has imported TFX
        shared_types.register(store, nodes_with_types(), connection)


def test_two_processes_at_once_create_each_type_once(server, folder):
    def database_of(name: str) -> Database:
        return paths.metadata_database(config.load(shop.config(folder, name, metadata=postgresql(server, name))))

    database_of("empty").open()
    names = [f"round{number}" for number in range(ROUNDS)]
    for name in names:
        server.ask(f"CREATE DATABASE {name} TEMPLATE empty")
    messages = [database_of(name).message().SerializeToString() for name in names]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    processes = [spawn.Process(target=register_types, args=(messages, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(300)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()  # one that waits for the other at the barrier
    for name in names:
        assert server.ask("SELECT name FROM type GROUP BY name, type_kind HAVING count(*) > 1", name) == []
        assert len(server.ask("SELECT name FROM type WHERE name ~ '^(Node|Artifact)[0-9]'", name)) == 24


def test_any_text_is_recorded_and_read_again(server, folder):
    loaded = config.load(shop.config(folder, "texts", metadata=postgresql(server, "texts")))
    store = paths.metadata_database(loaded).open()
    type_id = store.put_artifact_type(mlmd.ArtifactType(name="A"))
    texts = ["a\\b", "\\", "'", '$0 {"a": "\\""}', "", "é漢", "long " * 20_000, "\\" * 5000]
    artifacts = []
    for text in texts:
        artifact = mlmd.Artifact(type_id=type_id, uri="/x")
        artifact.custom_properties["text"].string_value = text
        artifacts.append(artifact)
    ids = store.put_artifacts(artifacts)
    artifacts[0].id, artifacts[0].uri = ids[0], "/changed"  # PostgreSQL returns a changed row after the others
    store.put_artifacts(artifacts[:1])
    found = store.get_artifacts_by_id(list(reversed(ids)))
    assert [artifact.id for artifact in found] == ids
    assert [artifact.custom_properties["text"].string_value for artifact in found] == texts


def test_the_password_from_the_environment(server, folder, monkeypatch):
    file = shop.config(folder, "environment", metadata=postgresql(server, "texts", password_file=None))
    database = paths.metadata_database(config.load(file))
    monkeypatch.setenv(VARIABLE, PASSWORD)
    database.check()
    monkeypatch.setenv(VARIABLE, "wrong")
    with pytest.raises(UsageError, match=facts(f"postgresql://{USER}@127.0.0.1:{server.port}/texts … password")):
        database.check()


def test_a_run_names_what_is_wrong_with_the_server_before_any_node(server, folder):
    (folder / "wrong").write_text("wrong\n")
    for changes, message in (
        ({"password_file": "wrong"}, "metadata.postgresql: … password authentication failed"),
        ({"port": 9}, "metadata.postgresql: … 127.0.0.1:9 does not answer"),
        ({"password_file": "none"}, "metadata.postgresql.password_file: … none"),
    ):
        file = shop.config(folder, "bad", metadata=postgresql(server, "texts", **changes))
        output = shop.call("run", file, code=2)
        assert re.search(facts(message), output, re.DOTALL), output
        assert "✓" not in output
