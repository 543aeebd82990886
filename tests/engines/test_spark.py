"""iALS fitted by a real Spark: the objective, quality beside `implicit`, the exported model, processes and errors."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shop
import spark_engine
from facts import facts

from core import names
from core.errors import ModelError
from pipeline.bench.measure import per_query
from pipeline.bench.protocol_data import ProtocolData
from pipeline.bench.protocols import PROTOCOLS
from serving.saved_model import SavedModel
from trainer.retrieval import inference
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import ials, spark
from trainer.retrieval.factors.ials import IALSModel
from trainer.retrieval.factors.settings import IALSSettings
from trainer.retrieval.interactions import user_item_counts
from transform.arrays import raw_arrays
from transform.features import Features

N_USERS, N_ITEMS, SEED = 60, 40, 3
COLD = N_ITEMS - 1
# The compiler and the collector that start quickest; these fits are too short for the others.
QUICK = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
METRICS = ("ndcg@10", "recall@100")


@pytest.fixture(autouse=True, scope="module")
def engine() -> Iterator[dict[str, str]]:
    """Let this process find pyspark and Java; return the environment in which another one does."""
    found = spark_engine.environment()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(found["PYTHONPATH"])
        patch.setenv("JAVA_HOME", found["JAVA_HOME"])
        yield found


def settings(conf: dict[str, str] | None = None, place: dict[str, Any] | None = None, **model: Any) -> IALSSettings:
    """Return settings of a small model that Spark fits on this machine."""
    values = {"master": "local[2]", "memory": "900m", "blocks": 4, "conf": QUICK | (conf or {})} | (place or {})
    return IALSSettings.model_validate({"factors": 8, "iterations": 50, "alpha": 0.7, "spark": values} | model)


@pytest.fixture(scope="module")
def data() -> RetrievalData:
    """Return events with repeated (user, item) pairs, users and items of different frequency, and a cold item."""
    rng = np.random.default_rng(SEED)
    users = np.minimum(rng.geometric(0.05, 900) - 1, N_USERS - 1)
    items = rng.integers(0, COLD, 900) * rng.integers(0, 2, 900)
    return RetrievalData(
        features=Features(history_length=50),
        catalogue=pa.table({names.ITEM_ID: [f"i{row}" for row in range(N_ITEMS)]}),
        users=pa.array([f"u{user}" for user in users]),
        items=items.astype(np.int32),
        timestamps=np.arange(900),
    )


@pytest.fixture(scope="module")
def small(data, engine) -> np.ndarray:
    """Return the items' vectors of a model of `data`."""
    return factors(ials.fit(settings(), data, SEED))


def factors(model: IALSModel) -> np.ndarray:
    return model.factors.numpy()


# ---- what is fitted ----


def least_squares(fixed: np.ndarray, counts: Any, alpha: float, penalties: np.ndarray) -> np.ndarray:
    """Return the vectors [R, D] that minimise the loss for the rows of `counts` [R, C], given those of the columns."""
    gram, result = fixed.T @ fixed, np.zeros((counts.shape[0], fixed.shape[1]))
    for row in range(counts.shape[0]):
        its, r = counts[row].indices, counts[row].data
        system = gram + (fixed[its].T * (alpha * r)) @ fixed[its] + penalties[row] * np.eye(fixed.shape[1])
        result[row] = np.linalg.solve(system, fixed[its].T @ (1 + alpha * r))
    return result


def test_the_vectors_minimise_the_documented_objective(data, small):
    """After many iterations, one more of NumPy's changes nothing; one with the constant penalty of `implicit` does."""
    of, found = settings(), small.astype(np.float64)
    counts = user_item_counts(data.users, data.items, N_ITEMS)
    mu = spark.penalty(counts, of)
    of_users, of_items = (mu * np.diff(each.indptr) for each in (counts, counts.T.tocsr()))
    warm = of_items > 0
    for penalties, same in (
        ((of_users, of_items), True),
        ((np.full(counts.shape[0], of_users.mean()), np.full(N_ITEMS, of_users.mean())), False),
    ):
        users = least_squares(found, counts, of.alpha, penalties[0])
        again = least_squares(users, counts.T.tocsr()[warm], of.alpha, penalties[1][warm])
        difference = np.linalg.norm(again - found[warm]) / np.linalg.norm(found[warm])
        assert (difference < 0.01) == same, difference
    assert (found[COLD] == 0).all()
    assert np.linalg.norm(found[warm], axis=1).min() > 0.01


def test_the_same_seed_and_blocks_give_the_same_vectors_on_another_number_of_cores(data, small):
    again = factors(ials.fit(settings(place={"master": "local[1]"}), data, SEED))
    np.testing.assert_allclose(again, small, rtol=0, atol=1e-5)


# ---- beside implicit, on MovieLens-100K ----


@pytest.fixture(scope="module")
def films(movielens) -> ProtocolData:
    return ProtocolData(PROTOCOLS["movielens-100k"], 42)


@pytest.fixture(scope="module")
def fitted(films, engine) -> IALSModel:
    """Return the model of the default settings, fitted to train."""
    of = IALSSettings.model_validate({"spark": {"master": "local[2]", "memory": "1g", "blocks": 4}})
    return ials.fit(of, films.retrieval_data(1, None, False), SEED)


def quality(model: IALSModel, films: ProtocolData) -> np.ndarray:
    """Return the means of METRICS over the queries of eval."""
    queries = films.queries(1)
    rows = inference.retrieve(model.signatures()["retrieve"], queries, films.features.user, len(films.ids), 100).rows
    values = per_query(rows, queries.relevant_offsets, queries.relevant_items, len(films.ids), METRICS)
    return np.array([values[metric].mean() for metric in METRICS])


def test_the_quality_is_that_of_implicit_or_better(films, fitted):
    train = films.retrieval_data(1, None, False)
    of_implicit = np.mean([quality(ials.fit(IALSSettings(), train, seed), films) for seed in (1, 2, 3)], axis=0)
    found = quality(fitted, films) / of_implicit - 1
    assert (found > -0.01).all(), found
    assert (found < 0.08).all(), found  # another objective, but no other model


def test_the_exported_model_answers_as_the_fitted_one(films, fitted, tmp_path):
    fitted.save(str(tmp_path / "model"))
    loaded, here = SavedModel(tmp_path / "model"), fitted.signatures()
    assert set(loaded.signatures) - {"serving_default"} == {
        "retrieve",
        "score",
        "similar",
        "embed_query",
        "embed_candidate",
        "ask",
        "embed",
    }
    items = films.retrieval_data(1, None, False).catalogue.slice(0, 3)
    query = inference.query_arrays(films.queries(1).take(np.arange(3)), films.features.user)
    inputs = {
        "retrieve": {**query, names.EXCLUDE: np.full((3, 1), "242", object), names.K: np.int32(20)},
        "similar": {names.ITEM_ID: np.array(["242"], object), names.K: np.int32(5)},
        "embed_query": query,
        "ask": query,
        "embed": {names.ITEM_ID: items[names.ITEM_ID].to_numpy()} | raw_arrays(items, films.features.item),
    }
    for name, given in inputs.items():
        there, found = loaded.signatures[name](**given), here[name](**given)
        for key, value in found.items():
            value = np.asarray(value)
            if value.dtype == object:
                assert (np.asarray(there[key]).astype("U") == value.astype("U")).all()
            else:
                np.testing.assert_allclose(there[key], value, rtol=1e-5, atol=1e-5)
    counts = films.retrieval_data(1, None, False).counts()
    assert (np.abs(factors(fitted)).max(axis=1) > 0).tolist() == (counts > 0).tolist()
    assert (counts == 0).any()


# ---- processes and errors ----


def test_the_machine_of_spark_is_gone_after_a_fit_and_after_a_failed_one(data, small):
    name, seen = uuid.uuid4().hex, []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            seen.extend(spark_engine.processes(name))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        other = factors(ials.fit(settings({"spark.app.name": name}), data, SEED + 1))
        assert spark_engine.processes(name) == []
    finally:
        done.set()
        thread.join()
    assert seen
    assert np.abs(other - small).max() > 0.01, "the seed changes nothing"
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = {"spark.driver.port": str(server.getsockname()[1]), "spark.port.maxRetries": "0"}
        wanted = facts("ials: the fit on Spark, local[2], failed: … Address already in use … The log")
        with pytest.raises(ModelError, match=wanted):
            ials.fit(settings({"spark.app.name": name} | busy), data, SEED)
    assert spark_engine.processes(name) == []


def test_the_machine_of_spark_ends_with_a_process_that_is_killed(tmp_path, engine):
    name = uuid.uuid4().hex
    script = (
        "import numpy as np, scipy.sparse as sp\n"
        "from trainer.retrieval.factors import spark\n"
        "from trainer.retrieval.factors.settings import IALSSettings\n"
        f"place = {{'master': 'local[1]', 'memory': '900m', 'conf': {{'spark.app.name': {name!r}}}}}\n"
        "of = IALSSettings.model_validate({'iterations': 10000, 'spark': place})\n"
        "spark.item_factors(sp.random(500, 300, 0.1, 'csr', np.float32), of, of.spark, 1)\n"
    )
    variables = os.environ | engine | {"PYTHONPATH": os.pathsep.join([str(shop.ROOT), engine["PYTHONPATH"]])}
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-c", script], env=variables, stdout=log, stderr=log)
    try:
        spark_engine.wait_for_processes(name, there=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    spark_engine.wait_for_processes(name, there=False)


# ---- a cluster ----


def test_a_cluster_fits_the_same_vectors_and_one_without_workers_is_named(data, small, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    with spark_engine.master(tmp_path / "master") as address:
        place = {"master": address, "folder": str(shared), "memory": "600m", "start_seconds": 3}
        conf = {"spark.driver.host": "127.0.0.1"}
        with pytest.raises(ModelError, match=facts(f"{address}, failed: … executor of 600m in 3 s … start_seconds")):
            ials.fit(settings(conf, place), data, SEED)
        with spark_engine.worker(tmp_path / "worker", address):
            found = factors(ials.fit(settings(conf, place | {"start_seconds": 120}), data, SEED))
    assert list(Path(tmp_path / "worker" / "work").iterdir()), "no executor ran"
    np.testing.assert_allclose(found, small, rtol=0, atol=1e-5)
    assert list(shared.iterdir()) == []


# ---- a run ----


def test_a_run_releases_a_model_that_spark_fitted(tmp_path, engine):
    shop.make(tmp_path)
    place = {"master": "local[2]", "memory": "900m", "blocks": 2, "conf": QUICK}
    params = {"factors": 8, "iterations": 5, "spark": place}
    file = shop.config(tmp_path, "shop-spark", retrieval={"model": "ials", "candidates": 20, "params": params})
    variables = engine | {"PYTHONPATH": os.pathsep.join([str(shop.ROOT), engine["PYTHONPATH"]])}
    refused = shop.call("run", file, code=2, **variables | {"JAVA_HOME": str(tmp_path)})
    assert "Java 17 or newer; found none in JAVA_HOME" in refused
    assert "RetrievalTrainer" not in refused
    output = shop.call("run", file, **variables)
    assert "released" in output
    assert "WARN" not in output
    log = max((tmp_path / "runs" / "shop-spark" / "logs").glob("*.log")).read_text()
    assert "org/apache/spark" in log
    answer = json.loads(shop.printed("recommend", file, "--user", "c7", "--json"))
    assert answer["items"]
