"""A compiled pipeline, run as Kubeflow on S3 and as Vertex AI on GCS, equals a run on this machine.

The tasks are processes that run the command of their container; the object servers are real. On S3 the steps of Beam
run on Prism, and read and write the bucket.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shop as example
from object_servers import BUCKET, engines
from same_outputs import digests

from core.files import sha256
from core.release.store import open_store
from core.storage.storage import open_storage

# The outputs of which every file has the same content.
SAME = {
    "EventJoiner": "examples", "CandidateIndex": "candidate_index", "CandidateGenerator": "candidates",
    "RetrievalEvaluator": "evaluation", "TwoStepEvaluator": "evaluation",
}  # fmt: skip
# The outputs with a graph of TensorFlow, whose functions are numbered by process; the other files are the same.
GRAPHS = {"Transform": "transform_graph", "RetrievalTrainer": "model", "RankingTrainer": "model"}


@dataclass(frozen=True)
class Done:
    """A finished run: the outputs that are compared, the releases, and the answer for a user."""

    outputs: dict[str, dict[str, str]]
    releases: str
    answer: dict[str, Any]
    json: dict[str, Any]


def recommended(releases: str) -> dict[str, Any]:
    """Return the answer of `twostep recommend` for one user, without the version."""
    answer = json.loads(example.printed("recommend", releases, "--user", "c7", "--json"))
    return {key: value for key, value in answer.items() if key not in ("release", "version")}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a folder with the tables and the configurations of the example `shop`, with a place in a bucket."""
    folder = tmp_path_factory.mktemp("shop")
    example.make(folder)
    # The two-tower, since its weights show whether the same numbers were computed; other models are faster.
    models = {"retrieval": {"candidates": 50}, "ranking": {"model": "dcn"}}
    common = {"name": "shop", "run_folder": "local", "cluster": {"root": f"s3://{BUCKET}/shop"}, **models}
    example.config(folder, "shop", **common)
    prism = {"location": str(engines().built("prism"))}
    example.config(folder, "prism", beam={"runner": "prism", "prism": prism}, **common)
    return folder


@pytest.fixture(scope="module")
def local(shop):
    """Return the run on this machine."""
    told = json.loads(example.printed("run", shop / "shop.yaml", "--json"))

    def latest(node: str, key: str) -> Path:
        return max((shop / "local" / "pipeline" / node / key).iterdir(), key=lambda path: int(path.name))

    outputs = {node: digests(latest(node, key)) for node, key in (SAME | GRAPHS).items()}
    releases = str(shop / "local" / "releases")
    return Done(outputs, releases, recommended(releases), told)


@pytest.fixture(scope="module", params=["kubeflow", "vertex"])
def compiled(request, shop, servers, tmp_path_factory):
    """Return the run of the compiled specification; the tables are in the bucket too."""
    scheme = {"kubeflow": "s3", "vertex": "gs"}[request.param]
    store = f"{scheme}://{BUCKET}/shop"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers[scheme].environment().items():
            patch.setenv(name, value)
        patch.setenv("TWOSTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        open_storage(f"{store}/data").upload(shop / "data", "")
        file = shop / {"kubeflow": "prism.yaml", "vertex": "shop.yaml"}[request.param]
        printed = example.printed("compile", file, "--to", "kubeflow", "--output", shop / "spec.yaml")
        assert ("beam.runner prism: InteractionGen, InteractionStatisticsGen, " in printed) == (scheme == "s3")
        told = json.loads(
            example.printed(
                "run", file, "--compiled", shop / "spec.yaml", "--as", request.param, "--store", store,
                "--parameter", f"data={store}/data", "--json",
            )
        )  # fmt: skip
        folder = tmp_path_factory.mktemp(request.param)
        root = f"{store}/pipeline/shop/{told['run']}"
        for node, key in (SAME | GRAPHS).items():
            open_storage(f"{root}/{node}/{key}").download("", folder / node)
        outputs = {node: digests(folder / node) for node in (SAME | GRAPHS)}
        yield Done(outputs, f"{store}/releases", recommended(f"{store}/releases"), told)


def test_all_outputs_are_the_same_bit_for_bit(local, compiled):
    for node in SAME | GRAPHS:
        assert compiled.outputs[node] == local.outputs[node], node
        assert compiled.outputs[node]


def test_the_metrics_are_the_same(local, compiled):
    assert compiled.json["metrics"] == local.json["metrics"]
    assert compiled.json["rules"] == local.json["rules"]


def test_the_release_answers_as_that_of_the_local_run_item_for_item(local, compiled):
    assert compiled.json["release"] == open_store(compiled.releases).current()
    assert compiled.answer == local.answer
    assert compiled.answer["items"]


def test_the_manifest_tells_the_lineage_to_the_files_in_the_bucket(shop, compiled):
    lineage = json.loads(example.printed("lineage", compiled.releases, "--format", "json"))
    sources = {each["file"]: each["sha256"] for artifact in lineage["artifacts"] for each in artifact["sources"]}
    folder = compiled.releases.removesuffix("/releases") + "/data"
    names = ("customers.csv", "products.csv", "purchases.csv")
    assert sources == {f"{folder}/{name}": sha256(shop / "data" / name) for name in names}
    nodes = [each["node"] for each in lineage["executions"]]
    assert len(nodes) == len(set(nodes))
    assert {"InteractionGen", "EventJoiner", "RankingTrainer", "TwoStepEvaluator", "ReleasePusher"} <= set(nodes)


def test_nothing_is_left_on_this_machine_but_logs(shop, compiled):
    run = shop / "local" / "compiled" / "runs" / compiled.json["run"]
    assert {path.name for path in run.glob("*/*") if path.name != "executor_output.json"} == {"log.txt"}
    assert not (shop / "local" / "compiled" / "store").exists()


def test_the_report_is_that_of_the_compiled_run(shop, compiled):
    assert compiled.json["release"] in (shop / "local" / "report.html").read_text()
