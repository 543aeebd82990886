"""The lineage, on a store of ML Metadata that the tests write in the way of TFX."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from core.errors import UsageError
from core.names import RELEASE_TYPE
from pipeline.lineage import graph, records, views
from pipeline.lineage.database import SQLite


class Recorder:
    """A writer of executions and artifacts to a store, in the way of TFX's publisher."""

    def __init__(self):
        self.store = ml_metadata.MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
        self.node_type = self.store.put_context_type(mlmd.ContextType(name="node"))

    def artifact(self, type_name: str, **properties: str) -> mlmd.Artifact:
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        artifact = mlmd.Artifact(type_id=type_id, uri=f"/runs/{type_name}")
        for name, value in properties.items():
            artifact.custom_properties[name].string_value = value
        return artifact

    def run(
        self, node, inputs=(), outputs=(), state=mlmd.Execution.COMPLETE, baselines=(), out=mlmd.Event.OUTPUT
    ) -> list[int]:
        """Record an execution; return the ids of its outputs. An output given as an id exists already (a cache hit)."""
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=f"components.{node}"))
        execution = mlmd.Execution(type_id=type_id, last_known_state=state)
        context = mlmd.Context(type_id=self.node_type, name=f"demo.{node}")
        pairs = []
        for event_type, key, ids in (
            (mlmd.Event.INPUT, "examples", inputs),
            (mlmd.Event.INPUT, "baseline_model", baselines),
            (out, "result", outputs),
        ):
            for place, each in enumerate(ids):
                event = mlmd.Event(type=event_type)
                event.path.steps.add().key = key
                event.path.steps.add().index = place
                artifact = self.store.get_artifacts_by_id([each])[0] if isinstance(each, int) else each
                pairs.append((artifact, event))
        _, artifact_ids, _ = self.store.put_execution(execution, pairs, [context], reuse_context_if_already_exist=True)
        return artifact_ids[len(inputs) + len(baselines) :]


def table(recorder: Recorder, name: str, digest: str = "ab" * 32) -> mlmd.Artifact:
    sources = [{"file": f"{name}.parquet", "sha256": digest, "rows": 1000}]
    return recorder.artifact("Examples", sources=json.dumps(sources), span="0")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def ids(recorder: Recorder) -> dict[str, int]:
    """Record a failed run and a second run that takes the tables from the cache and releases; return name → id."""
    run, artifact = recorder.run, recorder.artifact
    [events] = run("InteractionGen", outputs=[table(recorder, "interactions")])
    [users] = run("UserGen", outputs=[table(recorder, "users")])
    [items] = run("ItemGen", outputs=[table(recorder, "items")])
    run("EventJoiner", inputs=[events, users, items], state=mlmd.Execution.FAILED)
    run("InteractionGen", outputs=[events], state=mlmd.Execution.CACHED)
    run("ReleaseInForce", outputs=[users], out=mlmd.Event.INTERNAL_OUTPUT)
    [joined] = run("EventJoiner", inputs=[events, users, items], outputs=[artifact("Examples")])
    graph, statistics = run("Transform", inputs=[joined], outputs=[artifact("TransformGraph"), artifact("Statistics")])
    [old] = run("OldTrainer", outputs=[artifact("Model")])
    [model] = run("RetrievalTrainer", inputs=[graph, joined], outputs=[artifact("Model")])
    [evaluation] = run("TwoStepEvaluator", inputs=[model], baselines=[old], outputs=[artifact("Evaluation")])
    [release] = run("ReleasePusher", inputs=[model, evaluation], outputs=[artifact(RELEASE_TYPE, version="7")])
    return {
        "events": events, "users": users, "items": items, "joined": joined, "graph": graph, "statistics": statistics,
        "old": old, "model": model, "evaluation": evaluation, "release": release,
    }  # fmt: skip


def test_a_release_leads_back_to_the_three_files(recorder, ids):
    found = records.trace(recorder.store, records.release_artifact(recorder.store, "7"))
    files = {source.file for artifact in found.artifacts.values() for source in artifact.sources}
    assert files == {"interactions.parquet", "users.parquet", "items.parquet"}
    assert found.maker(ids["model"]).node == "RetrievalTrainer"
    assert ids["statistics"] not in found.artifacts  # the release was not made from the statistics
    [source] = found.artifacts[ids["users"]].sources
    assert (source.sha256, source.rows) == ("ab" * 32, 1000)


def test_cached_failed_and_resolver_executions_are_no_makers(recorder, ids):
    found = records.trace(recorder.store, ids["release"])
    assert [each.node for each in found.executions.values()] == [
        "InteractionGen", "UserGen", "ItemGen", "EventJoiner",
        "Transform", "RetrievalTrainer", "TwoStepEvaluator", "ReleasePusher",
    ]  # fmt: skip
    assert {each.state for each in found.executions.values()} == {"COMPLETE"}


def test_a_model_that_was_compared_with_is_named_but_not_followed(recorder, ids):
    found = records.trace(recorder.store, ids["release"])
    assert found.maker(ids["evaluation"]).compared_with == (ids["old"],)
    assert found.maker(ids["evaluation"]).inputs == (ids["model"],)
    assert "OldTrainer" not in {each.node for each in found.executions.values()}
    assert f"compared with Model (artifact:{ids['old']})" in views.as_text(found)


def test_forward_from_a_file_reaches_the_release(recorder, ids, tmp_path):
    roots = records.artifacts_of_file(recorder.store, tmp_path / "users.parquet")
    assert roots == [ids["users"]]
    found = records.trace(recorder.store, roots, "forward")
    assert set(found.artifacts) == {
        ids[name] for name in ("users", "joined", "graph", "statistics", "model", "evaluation", "release")
    }
    assert found.next(ids["joined"]) == [ids["graph"], ids["statistics"], ids["model"]]
    assert views.as_text(found).startswith("file users.parquet  1,000 rows, sha256 abababababab\nExamples")


def test_forward_from_the_old_model_does_not_reach_what_was_compared_with_it(recorder, ids):
    assert set(records.trace(recorder.store, ids["old"], "forward").artifacts) == {ids["old"]}


def test_the_text_shows_a_subtree_once(recorder, ids):
    lines = views.as_text(records.trace(recorder.store, ids["release"])).splitlines()
    assert lines[0].startswith(f"Release 7 (artifact:{ids['release']})  by ReleasePusher, ")
    assert sum("file users.parquet" in line for line in lines) == 1
    again = [line for line in lines if f"artifact:{ids['joined']})" in line]
    assert [line.endswith("(above)") for line in again] == [False, True]


def test_a_file_s_name_is_printed_as_text(recorder, ids, tmp_path):
    found = records.trace(recorder.store, records.artifacts_of_file(recorder.store, tmp_path / "users.parquet"))
    users = replace(found.artifacts[ids["users"]], sources=(graph.Source("[bold]x\x1b[2J.csv"),))
    text = views.as_text(replace(found, artifacts={**found.artifacts, ids["users"]: users}))
    assert "file [bold]x\\x1b[2J.csv" in text
    assert "\x1b" not in text


def test_json_holds_the_graph(recorder, ids):
    value = json.loads(views.as_json(records.trace(recorder.store, ids["release"])))
    assert (value["direction"], value["roots"]) == ("back", [ids["release"]])
    joiner = next(each for each in value["executions"] if each["node"] == "EventJoiner")
    assert (joiner["inputs"], joiner["outputs"]) == ([ids["events"], ids["users"], ids["items"]], [ids["joined"]])
    release = next(each for each in value["artifacts"] if each["id"] == ids["release"])
    assert (release["type"], release["properties"]) == (RELEASE_TYPE, {"version": "7"})


def test_the_drawing_has_every_node_once_no_overlap_and_arrows_down(recorder, ids):
    root = ElementTree.fromstring(views.as_svg(records.trace(recorder.store, ids["release"])))
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    for node in ("InteractionGen", "EventJoiner", "ReleasePusher"):
        assert words.count(node) == 1
    assert {"Release 7", "users.parquet"} <= set(words)
    boxes = [
        [float(box.get(key)) for key in ("x", "y", "width", "height")]
        for box in root.iter(f"{space}rect")
        if box.get("x")
    ]
    assert len(boxes) == 8 + 3 + 1  # executions, source files, and the baseline
    for place, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:place]:
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y
    right, bottom = float(root.get("width")), float(root.get("height"))
    assert all(x + width <= right and y + height <= bottom for x, y, width, height in boxes)
    for path in root.findall(f"{space}path"):
        start, end = path.get("d")[1:].split("V")[0].split("C")
        assert float(start.split()[1]) < float(end.split()[-1])


def test_names_are_escaped_in_the_drawing(recorder):
    sources = json.dumps([{"file": "a<b>&.csv"}])
    [artifact] = recorder.run("Gen", outputs=[recorder.artifact("Examples", sources=sources)])
    drawing = views.as_svg(records.trace(recorder.store, artifact))
    assert "a<b>&.csv" in [
        text.text for text in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_errors_of_missing_records_list_the_existing_ones(recorder, ids):
    with pytest.raises(UsageError, match=r"8: .*7"):
        records.release_artifact(recorder.store, "8")
    with pytest.raises(UsageError, match="artifact:999"):
        records.trace(recorder.store, 999)
    with pytest.raises(UsageError, match=r"interactions.parquet, items.parquet, users.parquet"):
        records.artifacts_of_file(recorder.store, "clicks.csv")


def test_no_release_yet(recorder):
    with pytest.raises(UsageError, match="no release"):
        records.release_artifact(recorder.store, "1")


def test_no_runs_yet(tmp_path):
    with pytest.raises(UsageError, match=r"metadata\.sqlite: no such file"):
        SQLite(tmp_path / "metadata.sqlite").open()
