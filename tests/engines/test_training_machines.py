"""Networks trained on two machines (two processes on the loopback interface), and on two devices of one process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shop
import tensorflow as tf
import yaml
from object_servers import free_port

from core.code import code_digest
from core.files import read_json, write_json
from pipeline import config as configuration
from pipeline.dag import settings
from trainer.distribution.machines import Answer, Arguments, Call
from trainer.retrieval.registry import MODELS
from trainer.step_settings import custom_config

# Without dropout, whose masks differ among replicas.
TOWER = {"model": "two_tower", "epochs": 2, "batch_size": 1024, "dropout": 0.0}
QUICK = {
    "retrieval": {
        "model": "fusion",
        "candidates": 20,
        "params": {
            "models": {
                "gru": TOWER | {"history": "gru"},
                "ease": {},
            },
            "learn_weights": True,
        },
    },
    "ranking": {"model": "dcn", "params": {"epochs": 3, "batch_size": 64, "dropout": 0.0, "learning_rate": 0.01}},
}
DEVICES = Path(__file__).parents[1] / "helpers" / "fit_on_devices.py"
NEAR = 1e-3  # of weights, after some hundred steps
SECONDS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the tables of the shop."""
    folder = tmp_path_factory.mktemp("machines")
    shop.make(folder)
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    """Return the configuration of a finished run on this machine alone."""
    file = shop.config(folder, "shop", **QUICK)
    shop.call("run", file)
    return file


def together(folder: Path, **training: object) -> Path:
    """Return a configuration of two machines; all nodes but the trainers come from the cache of `alone`."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    changes = QUICK | {"name": "shop", "run_folder": "runs/shop", "training": {"machines": addresses, **training}}
    return shop.config(folder, "together", **changes)


def artifact(folder: Path, node: str, output: str, latest: int = -1) -> Path:
    """Return an artifact of the latest run of a node."""
    found = sorted((folder / "runs" / "shop").glob(f"pipeline*/{node}/{output}/*"), key=lambda each: int(each.name))
    return found[latest]


def weights(model: Path) -> dict[str, np.ndarray]:
    """Return the numbers of a SavedModel by name."""
    checkpoint = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    names = [name for name in checkpoint.get_variable_to_dtype_map() if "VARIABLE_VALUE" in name]
    values = {name: checkpoint.get_tensor(name) for name in names}
    return {name: value for name, value in values.items() if value.dtype == np.float32}


def assert_near(one: Path, other: Path) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert expected
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=NEAR, err_msg=name)


def until(seen, process: subprocess.Popen) -> None:
    """Wait until `seen` returns true."""
    end = time.monotonic() + SECONDS
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@contextlib.contextmanager
def training_with(config: Path, log: Path) -> Iterator[subprocess.Popen]:
    """Run `twostep train` as machine 1 during the block, with its output in a file; it ends by SIGINT."""
    command = [sys.executable, "-m", "pipeline.cli", "train", str(config), "--machine", "1"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(shop.ROOT)}, stdout=output)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    finally:
        process.kill()


def test_two_machines_fit_the_models_of_one(folder, alone):
    config = together(folder)
    before = {node: artifact(folder, node, "model") for node in ("RetrievalTrainer", "RankingTrainer")}
    with training_with(config, folder / "member.log"):
        output = shop.call("run", config)
    printed = (folder / "member.log").read_text()
    assert re.search(r"= Transform +from cache", output)
    assert printed.count("training for the step") == 2
    assert "gru: epoch 2/2" in printed
    for node, model in before.items():
        assert artifact(folder, node, "model") != model
        assert_near(model / "Format-Serving", artifact(folder, node, "model") / "Format-Serving")
    logs = [read_json(artifact(folder, "RetrievalTrainer", "model_run", each) / "training.json") for each in (-2, -1)]
    assert logs[0]["chosen"] == logs[1]["chosen"]


def test_a_machine_that_ends_fails_the_node_and_the_run_can_be_made_again(folder, alone):
    config = together(folder)
    log = folder / "member.log"
    call = artifact(folder, "RetrievalTrainer", "model", 0).parents[1] / "machines" / "call.json"
    with training_with(config, log) as member:
        run = shop.start("run", config)
        until(lambda: "epoch 1/2" in log.read_text(), run)
        [child] = children(member.pid)
        os.kill(child, signal.SIGKILL)
        output = shop.wait(run, 1)
    assert "training.machines: one of" in output
    assert not call.exists()


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_machine_that_does_not_answer_is_named(folder, alone):
    config = together(folder, wait_minutes=0.02)
    output = shop.call("run", config, code=1)
    address = yaml.safe_load(config.read_text())["training"]["machines"][1]
    assert f"no answer in 0.02 minutes from {address} (--machine 1)" in output


def called(folder: Path, config: Path, step: str, members: dict[str, Any] | None = None, **changes: object) -> Call:
    """Return a call to train a step with the data of the run of `alone`."""
    loaded = configuration.load(config)
    if members:
        loaded.retrieval.params["models"] = members
    values = {"retrieval": settings.retrieval_step, "ranking": settings.ranking_step}[step](loaded)
    values = values.model_copy(update={"training": values.training.model_copy(update=changes)})
    node, output = {"retrieval": ("EventJoiner", "examples"), "ranking": ("CandidateGenerator", "candidates")}[step]
    arguments = Arguments(
        train_files=[str(artifact(folder, node, output, 0) / "Split-train" / "*")],
        transform_graph_path=str(artifact(folder, "Transform", "transform_graph", 0)),
        base_model=None,
        custom_config=custom_config(values, code_digest("core.names")),
    )
    return Call(id="1", step=step, arguments=arguments)


@pytest.mark.parametrize("step", ["retrieval", "ranking"])
def test_two_devices_of_a_process_fit_the_model_of_one(folder, alone, tmp_path, step):
    mean, sasrec = TOWER | {"hard_negatives": 4, "causal_history": False}, TOWER | {"history": "sasrec"}
    members = {"mean": mean, "sasrec": sasrec} if step == "retrieval" else None
    write_json(tmp_path / "call.json", called(folder, alone, step, members).model_dump())
    for devices in (1, 2):
        fitted_on(devices, tmp_path / "call.json", tmp_path / str(devices))
    assert_near(tmp_path / "1", tmp_path / "2")


def fitted_on(devices: int, *arguments: Path) -> None:
    """Call `fit_on_devices.py`."""
    command = [sys.executable, str(DEVICES), str(arguments[0]), str(devices), *map(str, arguments[1:])]
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{devices} replicas"


def test_a_warm_start_on_two_devices_begins_with_all_weights(folder, alone, tmp_path):
    still = TOWER | {"epochs": 1, "learning_rate": 1e-12}  # a fit that changes no weight
    write_json(tmp_path / "call.json", called(folder, alone, "retrieval", {"mean": still, "ease": {}}).model_dump())
    write_json(tmp_path / "base.json", called(folder, alone, "retrieval", {"mean": TOWER, "ease": {}}).model_dump())
    fitted_on(1, tmp_path / "base.json", tmp_path / "base")
    fitted_on(2, tmp_path / "call.json", tmp_path / "warm", tmp_path / "base")
    assert_near(tmp_path / "base", tmp_path / "warm")


@pytest.mark.parametrize(("changes", "message"), [({}, "the same code"), ({"gpus": 9}, "training.gpus: should be")])
def test_a_machine_that_cannot_train_says_why(folder, alone, tmp_path, changes, message):
    made = called(folder, alone, "retrieval", **changes)
    if changes:
        made.arguments.custom_config["code"] = code_of_retrieval(alone)
    write_json(tmp_path / "call.json", made.model_dump())
    command = [sys.executable, "-m", "trainer.distribution.machine", str(tmp_path / "call.json"), "1"]
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    answer = Answer.model_validate(read_json(tmp_path / "1.json"))
    assert done.returncode == 1, done.stderr
    assert message in answer.error
    assert message in done.stderr


def code_of_retrieval(config: Path) -> str:
    """Return the digest of the code of RetrievalTrainer, as the run passes it on."""
    step = settings.retrieval_step(configuration.load(config))
    return code_digest("trainer.retrieval.run_fn", *MODELS.modules(step.model, step.params))


MASKS = """
import core.tf
import tensorflow as tf
from trainer.layers import Dropout

[processor] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = Dropout(0.5)
step = tf.function(lambda: strategy.run(lambda: layer(tf.ones([1000]), training=True)), autograph=False)
masks = [part.numpy() > 0 for _ in range(2) for part in strategy.experimental_local_results(step())]
print(sum(bool((one != other).any()) for one in masks for other in masks))
"""


def test_the_masks_of_dropout_differ_among_replicas_and_steps():
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT)}
    done = subprocess.run([sys.executable, "-c", MASKS], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "12", done.stderr  # of 4 masks each differs from 3
