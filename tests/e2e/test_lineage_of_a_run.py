"""The lineage of a run, traced by `twostep lineage` from the release back to the source files and forward again."""

import json
from xml.etree import ElementTree

import pytest

from core.files import sha256

FILES = ("interactions.parquet", "users.parquet", "items.parquet", "impressions.parquet")
# All nodes that a release depends on, including the validators of the tables and the evaluators.
NODES = {
    "InteractionGen", "UserGen", "ItemGen", "ImpressionGen",
    "InteractionStatisticsGen", "UserStatisticsGen", "ItemStatisticsGen", "ImpressionStatisticsGen",
    "InteractionSchemaGen", "UserSchemaGen", "ItemSchemaGen", "ImpressionSchemaGen",
    "InteractionValidator", "UserValidator", "ItemValidator", "ImpressionValidator",
    "EventJoiner", "Transform", "RetrievalTrainer", "CandidateIndex", "CandidateGenerator", "RankingTrainer",
    "RetrievalEvaluator", "TwoStepEvaluator", "RetrievalPusher", "RankingPusher", "ReleasePusher",
}  # fmt: skip


@pytest.fixture(scope="module")
def lineage(twostep, finished):
    """Return a function that runs `twostep lineage` and returns its output."""

    def ask(*arguments):
        done = twostep.run("lineage", "slice.yaml", *arguments, folder=finished.folder)
        assert (done.code, done.err) == (0, "")
        return done.out

    return ask


@pytest.fixture(scope="module")
def back(lineage):
    return json.loads(lineage("--format", "json"))


def test_a_release_leads_back_to_the_bytes_of_its_files(back, finished):
    sources = {each["file"]: each for artifact in back["artifacts"] for each in artifact["sources"]}
    files = {str(finished.folder / "data" / name): finished.folder / "data" / name for name in FILES}
    assert {name: each["sha256"] for name, each in sources.items()} == {
        name: sha256(path) for name, path in files.items()
    }
    assert all(each["rows"] > 0 for each in sources.values())
    [root] = back["roots"]
    release = next(each for each in back["artifacts"] if each["id"] == root)
    assert release["type"] == "components.Release"
    assert release["properties"]["version"] == finished.current()


def test_every_node_that_the_release_was_made_by_is_there_once(back):
    nodes = [each["node"] for each in back["executions"]]
    assert sorted(nodes) == sorted(NODES)
    assert {each["state"] for each in back["executions"]} == {"COMPLETE"}
    known = {each["id"] for each in back["artifacts"]}
    outputs = [each for execution in back["executions"] for each in execution["outputs"]]
    assert len(outputs) == len(set(outputs))
    assert {each for execution in back["executions"] for each in execution["inputs"]} <= set(outputs) <= known


def test_the_manifest_names_the_artifacts_that_the_lineage_shows(back, finished):
    manifest = json.loads((finished.releases / finished.current() / "manifest.json").read_text())
    [root] = back["roots"]
    pusher = next(each for each in back["executions"] if root in each["outputs"])
    assert sorted(manifest["facts"]["ml_metadata"].values()) == pusher["inputs"]


@pytest.mark.parametrize("file", FILES)
def test_a_file_leads_forward_to_the_release(lineage, finished, file):
    forward = json.loads(lineage(f"data/{file}", "--format", "json"))
    assert forward["direction"] == "forward"
    versions = [each["properties"].get("version") for each in forward["artifacts"]]
    assert finished.current() in versions
    read = {each["file"] for artifact in forward["artifacts"] for each in artifact["sources"]}
    assert read == {str(finished.folder / "data" / file)}


def test_text_and_drawing_show_the_release_and_its_files(lineage, finished, tmp_path):
    text = lineage()
    assert f"Release {finished.current()} (artifact:" in text.splitlines()[0]
    drawing = tmp_path / "lineage.svg"
    assert lineage("--format", "svg", "--output", drawing) == ""
    words = [each.text for each in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")]
    for node in NODES:
        assert words.count(node) == 1
    for file in FILES:
        assert sum(file in line for line in text.splitlines()) == 1
        assert any(file in word for word in words)
    assert drawing.read_text() == (finished.runs / "lineage.svg").read_text()


def test_the_manifest_of_the_release_holds_the_same_lineage(back, finished, twostep):
    done = twostep.run("lineage", str(finished.releases), "--format", "json", folder=finished.folder)
    assert (done.code, done.err) == (0, "")
    held = json.loads(done.out)
    assert {each["node"] for each in held["executions"]} == NODES

    def content(artifact):  # without the release itself, whose record in ML Metadata has another id
        properties = str(sorted(artifact["properties"].items()))
        return artifact["id"], artifact["type"], artifact["uri"], properties, str(artifact["sources"])

    release = {"components.Release"}
    recorded, in_manifest = (
        sorted(content(each) for each in lineage["artifacts"] if each["type"] not in release)
        for lineage in (back, held)
    )
    assert in_manifest == recorded
    [root] = held["roots"]
    assert next(each for each in held["artifacts"] if each["id"] == root)["properties"]["version"] == finished.current()
