"""A compiled pipeline, run as Kubeflow on S3 and as Vertex AI on GCS, equals a run on this machine.

The tasks are processes that run the command of their container; the object servers are real.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import gzip
import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shop as example
from object_servers import BUCKET
from tensorflow.core.example import example_pb2

from core.errors import ReleaseError
from core.files import folder_digests, sha256
from core.release import signing
from core.release.store import open_store
from core.storage.storage import open_storage

# The outputs of which every file has the same content.
SAME = {
    "EventJoiner": "examples", "CandidateIndex": "candidate_index", "CandidateGenerator": "candidates",
    "RetrievalEvaluator": "evaluation", "TwoStepEvaluator": "evaluation",
}  # fmt: skip
# The outputs with a graph of TensorFlow, whose functions are numbered by process; the other files are the same.
GRAPHS = {"Transform": "transform_graph", "RetrievalTrainer": "model", "RankingTrainer": "model"}
OF_GRAPHS = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb")


@dataclass(frozen=True)
class Done:
    """A finished run: the outputs that are compared, the releases, and the answer for a user."""

    outputs: dict[str, dict[str, str]]
    releases: str
    answer: dict[str, Any]
    json: dict[str, Any]


def examples(records: bytes) -> Iterator[bytes]:
    """Yield the Examples of a TFRecord file with their features in order: in the file, their order is not defined."""
    place = 0
    while place < len(records):
        [length] = struct.unpack_from("<Q", records, place)
        record = records[place + 12 : place + 12 + length]
        yield example_pb2.Example.FromString(record).SerializeToString(deterministic=True)
        place += 12 + length + 4


def digests(folder: Path) -> dict[str, str]:
    """Return path → digest of the content of the files below a folder, without those of graphs."""
    found = {}
    for name, digest in folder_digests(folder).items():
        if name.endswith(".gz"):
            digest = hashlib.sha256(b"".join(examples(gzip.decompress((folder / name).read_bytes())))).hexdigest()
        if not name.endswith(OF_GRAPHS):
            found[name] = digest
    return found


def recommended(releases: str) -> dict[str, Any]:
    """Return the answer of `twostep recommend` for one user, without the version."""
    answer = json.loads(example.printed("recommend", releases, "--user", "c7", "--json"))
    return {key: value for key, value in answer.items() if key not in ("release", "version")}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a folder with the tables and the configuration of the example `shop`, with a place in a bucket."""
    folder = tmp_path_factory.mktemp("shop")
    example.make(folder)
    # The two-tower, since its weights show whether the same numbers were computed; other models are faster.
    changes = {"retrieval": {"candidates": 50}, "ranking": {"model": "dcn"}}
    private, public = signing.make_keys(folder / "keys")
    (folder / "secret").mkdir()
    private.rename(folder / "secret" / private.name)  # the folder that stands for a mounted Secret
    private.symlink_to(folder / "secret" / private.name)
    changes["release"] = {"signing_key": f"keys/{private.name}", "trusted_keys": [f"keys/{public.name}"]}
    changes["cluster"] = {"root": f"s3://{BUCKET}/shop", "keys": {"secret": "shop-keys"}}
    example.config(folder, "shop", run_folder="local", **changes)
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
def compiled(request, shop, local, servers, tmp_path_factory):
    """Return the run of the compiled specification, after that on this machine; the tables are in the bucket too."""
    scheme = {"kubeflow": "s3", "vertex": "gs"}[request.param]
    store = f"{scheme}://{BUCKET}/shop"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers[scheme].environment().items():
            patch.setenv(name, value)
        patch.setenv("TWOSTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        open_storage(f"{store}/data").upload(shop / "data", "")
        example.printed("compile", shop / "shop.yaml", "--to", "kubeflow", "--output", shop / "spec.yaml")
        (shop / "keys" / signing.PRIVATE_FILE).unlink(missing_ok=True)  # not on the machine that submits
        told = json.loads(
            example.printed(
                "run", shop / "shop.yaml", "--compiled", shop / "spec.yaml", "--as", request.param, "--store", store,
                "--parameter", f"data={store}/data", "--parameter", f"keys={shop / 'secret'}", "--json",
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


def test_the_release_is_signed_with_the_key_of_the_container(shop, compiled, tmp_path):
    example.config(shop, "verified", release={
        "folder": compiled.releases, "signing_key": "keys/none.pem", "trusted_keys": ["keys/release-key.pub.pem"],
    })  # fmt: skip
    assert "is intact" in example.printed("release", "verify", shop / "verified.yaml")
    _, other = signing.make_keys(tmp_path)
    with pytest.raises(ReleaseError, match="trusted keys"):
        open_store(compiled.releases).verify(None, [other])
    assert "PRIVATE KEY" not in (shop / "spec.yaml").read_text()


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
