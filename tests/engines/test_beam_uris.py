"""The nodes whose Beam steps run on an engine read and write a bucket; the workers share no folder with their tasks.

The tasks are those of a compiled pipeline up to EventJoiner, as on Kubeflow with S3 and as on Vertex AI with Google
Cloud Storage. The engine is Prism, with workers in processes of their own.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beam_pool
import pytest
import shop as example
import yaml
from object_servers import BUCKET, engines
from rich.console import Console
from same_outputs import check_statistics, digests

from core import node_ids
from core.errors import TwostepError
from core.files import folder_digests
from core.storage.storage import open_storage
from pipeline.dag.plan import needed_by
from pipeline.runners.compiled import execution, launcher
from pipeline.runners.compiled.executor_input import artifacts
from pipeline.runners.progress import Progress

SCHEMES = {"kubeflow": "s3", "vertex": "gs"}
GENERATORS = ("InteractionGen", "UserGen", "ItemGen")
STATISTICS = ("InteractionStatisticsGen", "UserStatisticsGen", "ItemStatisticsGen")
ON_ENGINE = (*GENERATORS, *STATISTICS, node_ids.EVENT_JOINER)
OUTPUTS = (
    dict.fromkeys(GENERATORS, "examples")
    | dict.fromkeys(STATISTICS, "statistics")
    | {node_ids.EVENT_JOINER: "examples"}
)


@dataclass(frozen=True)
class Cluster:
    """A bucket, and the specification of a pipeline whose workers see only this bucket.

    Args:
      target: `kubeflow` or `vertex`.
      uri: the URI of the pipeline in the bucket.
      spec: the specification up to EventJoiner.
      workers: the working folder and the temporary folder of the workers.
    """

    target: str
    uri: str
    spec: dict[str, Any]
    workers: Path

    def run(self, folder: Path, data: str) -> dict[str, dict[str, Any]]:
        """Run the tasks with the tables of a folder or URI; return task → key → output."""
        values = execution.default_values(self.spec) | {"data": data, "releases": f"{self.uri}/releases"}
        bucket, shown = launcher.Bucket(self.uri, self.uri), Progress(Console(file=io.StringIO()))
        return execution.run(self.spec, values, bucket, self.target, folder, shown, 2)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a folder with the tables of the shop."""
    folder = tmp_path_factory.mktemp("shop")
    example.make(folder)
    return folder


@pytest.fixture(scope="module")
def local(shop):
    """Return the folder of the outputs of a run on this machine."""
    example.call("run", example.config(shop, "local"), "--until", node_ids.EVENT_JOINER, "--workers", 2)
    return shop / "runs" / "local" / "pipeline"


@pytest.fixture(scope="module", params=SCHEMES)
def cluster(request, shop, servers, tmp_path_factory):
    """Return a cluster whose workers have other folders than the tasks."""
    scheme = SCHEMES[request.param]
    uri, workers = f"{scheme}://{BUCKET}/beam", tmp_path_factory.mktemp("workers")
    for name in ("cwd", "tmp"):
        (workers / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers[scheme].environment().items():
            patch.setenv(name, value)
        patch.setitem(execution.RUN_ON, "kubeflow", run_without_folders)
        with beam_pool.running(workers / "cwd", TMPDIR=str(workers / "tmp")) as pool:
            beam = {"runner": "prism", "prism": {"location": str(engines().built("prism")), "workers": pool}}
            file = example.config(shop, request.param, beam=beam, cluster={"root": uri})
            example.printed("compile", file, "--to", request.param, "--output", shop / "spec.yaml")
            yield Cluster(request.param, uri, up_to_joiner(execution.read(shop / "spec.yaml")), workers)


@pytest.fixture(scope="module")
def made(shop, cluster, tmp_path_factory):
    """Return task → key → output of a run whose tables are in the bucket."""
    open_storage(f"{cluster.uri}/data").upload(shop / "data", "")
    return cluster.run(tmp_path_factory.mktemp("run") / "1", f"{cluster.uri}/data")


def up_to_joiner(spec):
    """Return a specification with the tasks that EventJoiner depends on."""
    tasks = spec["root"]["dag"]["tasks"]
    needed = needed_by(node_ids.EVENT_JOINER, {name: task.get("dependentTasks", []) for name, task in tasks.items()})
    spec["root"]["dag"]["tasks"] = {name: task for name, task in tasks.items() if name in needed}
    return spec


def run_without_folders(task, bucket, processes):
    """Run a task as on Kubeflow; where Beam runs on the engine, with no folder that a launcher copies to and from."""
    if task.name not in ON_ENGINE:
        return launcher.run_on_kubeflow(task, bucket, processes)
    outputs = launcher._outputs(task)
    given = launcher._executor_input(task, outputs, str(task.folder / "executor_output.json"))
    for _, artifact in artifacts(given, "inputs"):
        artifact["type"] = {"instanceSchema": ""}
    file = task.folder / "mounts"
    file.touch()  # a folder below it can neither be read nor made
    launcher._start(task, given, {launcher.MOUNTS: str(file)}, processes)
    return launcher._merged(task, outputs, json.loads((task.folder / "executor_output.json").read_text()))


def fetched(made, node, folder):
    """Return a folder with the files of the output of a node."""
    open_storage(made[node][OUTPUTS[node]]["uri"]).download("", folder / node)
    return folder / node


def latest(local, node):
    return max((local / node / OUTPUTS[node]).iterdir(), key=lambda path: int(path.name))


def test_the_outputs_are_those_of_a_run_on_this_machine(local, made, tmp_path):
    for node in (*GENERATORS, node_ids.EVENT_JOINER):
        ours, theirs = digests(latest(local, node)), digests(fetched(made, node, tmp_path))
        assert ours.keys() == theirs.keys(), node
        # The report of a table names its files, which are in another place.
        other = {name for name, digest in ours.items() if theirs[name] != digest}
        assert other <= ({"report.json"} if node in GENERATORS else set()), node
        assert any(name.startswith("Split-") for name in ours)
    for node in STATISTICS:
        name = "Split-all/FeatureStats.pb"
        ours = latest(local, node)
        assert folder_digests(ours).keys() == folder_digests(fetched(made, node, tmp_path)).keys() == {name}
        check_statistics(ours / name, tmp_path / node / name)


def test_workers_leave_no_file_on_their_machine(cluster, made):
    assert set(made) >= set(ON_ENGINE)
    assert [path for name in ("cwd", "tmp") for path in (cluster.workers / name).rglob("*")] == []


def test_the_lineage_names_the_objects_of_the_tables(cluster, made):
    sources = json.loads(made["InteractionGen"]["examples"]["metadata"]["sources"])
    assert [each["file"] for each in sources] == [f"{cluster.uri}/data/purchases.csv"]


def test_tables_on_the_disk_of_a_task_are_copied_beside_its_output_for_the_workers(shop, cluster, made, tmp_path):
    spec = json.loads(json.dumps(cluster.spec))
    spec["root"]["dag"]["tasks"] = {"ItemGen": spec["root"]["dag"]["tasks"]["ItemGen"]}
    other = Cluster(cluster.target, cluster.uri, spec, cluster.workers).run(tmp_path / "2", str(shop / "data"))
    ours, theirs = (open_storage(each["ItemGen"]["examples"]["uri"]) for each in (made, other))
    assert [each.key for each in ours.entries()] == [each.key for each in theirs.entries()]
    [source] = json.loads(other["ItemGen"]["examples"]["metadata"]["sources"])
    assert source["file"] == str(shop / "data" / "products.csv")
    [before] = json.loads(made["ItemGen"]["examples"]["metadata"]["sources"])
    assert source["sha256"] == before["sha256"]


def test_a_failed_task_names_the_object_and_leaves_no_output(shop, cluster, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "products.csv").write_bytes((shop / "data" / "products.csv").read_bytes() + b'"open\n')
    place = f"{cluster.uri}/broken"
    open_storage(place).upload(data, "")
    spec = json.loads(json.dumps(cluster.spec))
    spec["root"]["dag"]["tasks"] = {"ItemGen": spec["root"]["dag"]["tasks"]["ItemGen"]}
    with pytest.raises(TwostepError, match=f"ItemGen: {place}/products.csv: line .*: a quote is never closed"):
        Cluster(cluster.target, cluster.uri, spec, cluster.workers).run(tmp_path / "3", place)
    assert open_storage(f"{cluster.uri}/pipeline/{cluster.target}/3").entries() == []


def test_a_specification_for_workers_needs_a_bucket(shop, cluster, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(cluster.spec))
    words = ("run", shop / f"{cluster.target}.yaml", "--compiled", file, "--as", "kubeflow")
    assert "--store: is missing; workers of Beam read and write the bucket" in example.call(*words, code=2)
