"""A compiled pipeline, run as Kubeflow on S3 and as Vertex AI on GCS, equals a run on this machine.

The tasks are processes that run the command of their container; the object servers are real. On S3 the steps of Beam
run on Prism, and read and write the bucket.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import io
import itertools
import json
import random
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shop as example
from object_servers import BUCKET, engines
from rich.console import Console
from same_outputs import digests

from core.errors import ReleaseError, TwostepError
from core.files import sha256
from core.release import signing
from core.release.store import open_store
from core.storage.storage import open_storage
from pipeline.dag.plan import needed_by
from pipeline.runners.compiled import execution, launcher
from pipeline.runners.compiled.launcher import Bucket, Processes, Task
from pipeline.runners.progress import Progress

# The outputs of which every file has the same content.
SAME = {
    "EventJoiner": "examples", "CandidateIndex": "candidate_index", "CandidateGenerator": "candidates",
    "RetrievalEvaluator": "evaluation", "TwoStepEvaluator": "evaluation",
}  # fmt: skip
# The outputs with a graph of TensorFlow, whose functions are numbered by process; the other files are the same.
GRAPHS = {"Transform": "transform_graph", "RetrievalTrainer": "model", "RankingTrainer": "model"}


@dataclass(frozen=True)
class Done:
    """A finished run: the outputs that are compared, the releases, the answer for a user, and where it ran."""

    outputs: dict[str, dict[str, str]]
    releases: str
    answer: dict[str, Any]
    json: dict[str, Any]
    target: str = ""
    store: str = ""

    @property
    def root(self) -> str:
        """Return the URI of the outputs of the tasks."""
        return f"{self.store}/pipeline/shop/{self.json['run']}"


def stored_digests(uri: str, folder: Path) -> dict[str, str]:
    """Return the digests of an output in a bucket."""
    open_storage(uri).download("", folder / "output")
    return digests(folder / "output")


def recommended(releases: str) -> dict[str, Any]:
    """Return the answer of `twostep recommend` for one user, without the version."""
    answer = json.loads(example.printed("recommend", releases, "--user", "c7", "--json"))
    return {key: value for key, value in answer.items() if key not in ("release", "version")}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a folder with the tables and the configurations of the example `shop`, with a place in a bucket."""
    folder = tmp_path_factory.mktemp("shop")
    example.make(folder)
    purchases = folder / "data" / "purchases.csv"
    purchases.write_text(purchases.read_text().replace(",2025-", ",2024-"))  # those of 2025 are a later delivery
    # The two-tower, since its weights show whether the same numbers were computed; other models are faster.
    changes = {"retrieval": {"candidates": 50, "warm_start": True}, "ranking": {"model": "dcn"}}
    private, public = signing.make_keys(folder / "keys")
    (folder / "secret").mkdir()
    private.rename(folder / "secret" / private.name)  # the folder that stands for a mounted Secret
    private.symlink_to(folder / "secret" / private.name)
    changes["release"] = {"signing_key": f"keys/{private.name}", "trusted_keys": [f"keys/{public.name}"]}
    changes["cluster"] = {"root": f"s3://{BUCKET}/shop", "keys": {"secret": "shop-keys"}}
    example.config(folder, "shop", run_folder="local", **changes)
    prism = {"location": str(engines().built("prism"))}
    example.config(
        folder,
        "prism",
        **changes | {"name": "shop", "run_folder": "local", "beam": {"runner": "prism", "prism": prism}},
    )
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
        file = shop / {"kubeflow": "prism.yaml", "vertex": "shop.yaml"}[request.param]
        printed = example.printed("compile", file, "--to", "kubeflow", "--output", shop / "spec.yaml")
        assert ("beam.runner prism: InteractionGen, InteractionStatisticsGen, " in printed) == (scheme == "s3")
        (shop / "keys" / signing.PRIVATE_FILE).unlink(missing_ok=True)  # not on the machine that submits
        told = json.loads(
            example.printed(
                "run", file, "--compiled", shop / "spec.yaml", "--as", request.param, "--store", store,
                "--parameter", f"data={store}/data", "--parameter", f"keys={shop / 'secret'}", "--json",
            )
        )  # fmt: skip
        root = f"{store}/pipeline/shop/{told['run']}"
        outputs = {
            node: stored_digests(f"{root}/{node}/{key}", tmp_path_factory.mktemp(node))
            for node, key in (SAME | GRAPHS).items()
        }
        yield Done(outputs, f"{store}/releases", recommended(f"{store}/releases"), told, request.param, store)


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


def made_by(run: Done, spec: dict[str, Any], shop: Path) -> dict[str, dict[str, Any]]:
    """Return task → key → output artifact of a finished run, from the files in which its tasks returned them."""
    made = {}
    for name, described in spec["root"]["dag"]["tasks"].items():
        component = spec["components"][described["componentRef"]["name"]]
        task = Task(name, component, {}, {}, {}, f"{run.root}/{name}", shop)
        if run.target == "kubeflow":
            file = shop / "local" / "compiled" / "runs" / run.json["run"] / name / "executor_output.json"
            text = file.read_text()
        else:
            text = open_storage(task.root).read("executor_output.json")[0].decode()
        made[name] = launcher._merged(task, launcher._outputs(task), json.loads(text))
    return made


def values_of(run: Done, spec: dict[str, Any], shop: Path, **changes: str) -> dict[str, Any]:
    """Return the values of the parameters of a run."""
    places = {name: f"{run.store}/{name}" for name in ("data", "releases", "serving")}
    return execution.default_values(spec) | places | {"keys": str(shop / "secret")} | changes


@pytest.mark.parametrize("compiled", ["kubeflow"], indirect=True)
def test_a_second_run_on_a_grown_delivery_begins_warm(shop, compiled, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(shop / "data", folder)
    header, *lines = (folder / "purchases.csv").read_text().splitlines(keepends=True)
    next_year = [line.replace(",2024-", ",2025-") for line in lines]
    (folder / "purchases.csv").write_text("".join([header, *lines, *next_year]))
    open_storage(f"{compiled.store}/grown").upload(folder, "")
    spec = execution.read(shop / "spec.yaml")
    tasks = spec["root"]["dag"]["tasks"]
    needed = needed_by("RetrievalTrainer", {name: task.get("dependentTasks", []) for name, task in tasks.items()})
    spec["root"]["dag"]["tasks"] = {name: tasks[name] for name in tasks if name in needed}
    values = values_of(compiled, spec, shop, data=f"{compiled.store}/grown")
    bucket, shown = Bucket(compiled.store, compiled.store), Progress(Console(file=io.StringIO()))
    made = execution.run(spec, values, bucket, compiled.target, tmp_path / "runs" / "grown", shown, 2)
    first = json.loads(open_storage(f"{compiled.root}/RetrievalTrainer/model_run").read("training.json")[0])
    second = open_storage(made["RetrievalTrainer"]["model_run"]["uri"]).read("training.json")[0]
    assert first["warm_start"] == "there is no release to begin with"
    assert json.loads(second)["warm_start"] == "warm"


KILLED = ("Transform", "RetrievalTrainer", "ReleasePusher")


def test_tasks_that_are_killed_at_any_moment_and_run_again_make_the_same_release(shop, compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for what the killed leave
    spec, store = execution.read(shop / "spec.yaml"), open_store(compiled.releases)
    made, values = made_by(compiled, spec, shop), values_of(compiled, spec, shop)
    bucket, before = Bucket(compiled.store, compiled.store), store.versions()
    seconds = {each["node"]: each["seconds"] for each in compiled.json["nodes"]}
    number = itertools.count()

    def is_killed(node: str, after: float | None) -> bool:
        """Run a task as the run has done, with its outputs at the same URIs; kill it after some seconds."""
        root, folder, processes = f"{compiled.root}/{node}", tmp_path / f"task-{next(number)}", Processes()
        task = execution._task(spec, node, values, made, root, folder, compiled.target)
        timer = None if after is None else threading.Timer(after, processes.stop)
        if timer is not None:
            timer.start()
        try:
            made[node] = execution.RUN_ON[compiled.target](task, bucket, processes)
        except TwostepError as error:
            if "exit code -9" not in str(error):
                raise
            return True
        finally:
            if timer is not None:
                timer.cancel()
        return False

    moments = []
    for node in KILLED:
        longest, kills = seconds[node], 0
        while kills < 2:
            moments.append((node, random.uniform(0.3, 1) * longest))
            if is_killed(*moments[-1]):
                kills += 1
            else:
                longest *= 0.9  # the task takes less time than in the run, where others ran beside it
            for version in store.versions():
                store.verify(version)
        assert not is_killed(node, None)
    assert store.versions()[-len(before) :] == before, moments
    assert store.current() == made["ReleasePusher"]["release"]["metadata"]["version"] != before[0], moments
    store.verify()
    for node in KILLED[:2]:
        found = stored_digests(f"{compiled.root}/{node}/{GRAPHS[node]}", tmp_path / f"{node}-output")
        assert found == compiled.outputs[node], (node, moments)
    assert recommended(compiled.releases) == compiled.answer, moments
