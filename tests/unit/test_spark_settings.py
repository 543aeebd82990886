"""The settings of iALS on Spark, the checks before a fit, and what is passed to Spark; tests/engines runs Spark."""

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from facts import facts

from core.errors import UsageError
from pipeline import config
from pipeline.config import paths
from pipeline.config.explain import explain
from trainer.retrieval.factors import spark, spark_job
from trainer.retrieval.factors.settings import IALSSettings
from trainer.retrieval.registry import MODELS
from trainer.tuning import space

LOCAL = IALSSettings.model_validate({"spark": {"master": "local[2]"}})


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Path:
    """Give the test a machine with pyspark 4.3 and Java 17; return the folder of its programs."""
    programs = tmp_path / "bin"
    package = tmp_path / "packages" / "pyspark"
    for folder in (programs, package):
        folder.mkdir(parents=True)
    (package / "__init__.py").touch()
    install_pyspark(tmp_path, "4.3.0")
    install_java(programs, "17.0.1")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return programs


def install_pyspark(folder: Path, version: str) -> None:
    record = folder / "packages" / "pyspark-1.dist-info" / "METADATA"
    record.parent.mkdir(exist_ok=True)
    record.write_text(f"Metadata-Version: 2.1\nName: pyspark\nVersion: {version}\n")


def install_java(folder: Path, version: str, modules: str = "java.base@1 jdk.incubator.vector@1") -> None:
    """Write a program `java`, of the shell, that answers as Java of a version does."""
    java = folder / "java"
    java.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "{version}"\' >&2; else echo {modules}; fi\n'
    )
    java.chmod(0o755)


# ---- settings ----


@pytest.mark.parametrize("master", ["local[2]", "local[*]", "spark://a:7077,b:7077", "yarn", "k8s://https://a:6443"])
def test_a_master_is_a_place_that_spark_knows(master):
    assert IALSSettings.model_validate({"spark": {"master": master, "folder": "/shared"}}).spark.master == master


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"master": "a:7077"}, "spark.master … local[N] … spark://HOST:PORT … a:7077"),
        ({"master": "local[0]"}, "spark.master … local[N]"),
        ({"master": "yarn"}, "`master: yarn` needs `folder`"),
        ({"memory": "2"}, "spark.memory … 4g … found '2'"),
        ({"folder": "shared"}, "spark.folder"),
        ({"blocks": 0}, "spark.blocks … at least 1"),
        ({"conf": {"spark.driver.memory": "1g"}}, "spark.driver.memory should be left out … `memory`"),
        ({"conf": {"executor.cores": "1"}}, "begin with `spark.` … executor.cores"),
    ],
)
def test_a_wrong_setting_is_explained(values, message):
    with pytest.raises(ValueError, match=facts(message)):
        MODELS.check("ials", {"spark": values})


def test_explain_has_the_settings_and_the_tuner_does_not_search_them():
    text = explain("retrieval.params.ials")
    assert all(
        f"{name}:" in text for name in ("spark", "master", "memory", "blocks", "folder", "start_seconds", "conf")
    )
    assert set(space.resolve(LOCAL, {})) == {"factors", "regularization", "alpha", "iterations"}


# ---- what a fit needs ----


def test_a_machine_with_all_that_a_fit_needs_passes(machine, tmp_path, monkeypatch):
    spark.check(LOCAL)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    spark.check(LOCAL)


def test_a_fit_by_implicit_needs_neither(monkeypatch):
    monkeypatch.setenv("PATH", "")
    spark.check(IALSSettings())


def test_a_missing_or_old_pyspark_is_named(tmp_path, monkeypatch):
    install_pyspark(tmp_path, "3.5.1")
    with pytest.raises(UsageError, match=facts("pyspark, version 4; found 3.5.1 … pip install 'twostep[spark]'")):
        spark.check(LOCAL)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not Path(place, "pyspark").is_dir()])
    with pytest.raises(UsageError, match=facts("pyspark, version 4; found none … pip install 'twostep[spark]'")):
        spark.check(LOCAL)


def test_a_missing_or_old_java_is_named(machine, tmp_path, monkeypatch):
    install_java(machine, "1.8.0_292")
    with pytest.raises(UsageError, match=facts('Java 17 or newer; found openjdk version "1.8.0_292" in the PATH')):
        spark.check(LOCAL)
    install_java(machine, "21.0.8", "java.base@21")
    with pytest.raises(UsageError, match=facts("module jdk.incubator.vector; found Java 21 without it … Install Java")):
        spark.check(LOCAL)
    (machine / "java").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UsageError, match=facts("Java 17 or newer; found one that does not start")):
        spark.check(LOCAL)
    (machine / "java").unlink()
    with pytest.raises(UsageError, match=facts("Java 17 or newer; found none in the PATH … openjdk-17-jre-headless")):
        spark.check(LOCAL)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=facts("found none in JAVA_HOME, … nowhere")):
        spark.check(LOCAL)


def test_a_missing_folder_and_a_master_that_does_not_answer_are_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        values = {"master": f"spark://127.0.0.1:{port}", "folder": str(tmp_path)}
        spark.check(IALSSettings.model_validate({"spark": values}))
    with pytest.raises(UsageError, match=facts(f"spark.master: spark://127.0.0.1:{port} does not answer … Start")):
        spark.check(IALSSettings.model_validate({"spark": values}))
    values["folder"] = str(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=facts("spark.folder: … nowhere should be a folder")):
        spark.check(IALSSettings.model_validate({"spark": values}))


@pytest.mark.parametrize(
    "step",
    [
        {"model": "ials", "params": {"spark": {}}},
        {"model": "fusion", "params": {"models": {"ease": {}, "ials": {"spark": {}}}}},
    ],
)
def test_a_run_checks_the_machine_before_its_first_node(step, monkeypatch):
    values = {"name": "x", "data": {"root": "."}, "retrieval": step}
    loaded = config.Config.model_validate(values)
    paths.check_machine(loaded)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=facts("Java 17 or newer; found none")):
        paths.check_machine(loaded)


# ---- what is passed to Spark ----


def test_the_penalty_of_a_user_is_that_of_implicit_on_average():
    counts = sp.csr_matrix(np.array([[3, 0, 1], [0, 2, 0], [1, 1, 1]], np.float32))
    settings = IALSSettings(regularization=0.2)
    of_users = spark.penalty(counts, settings) * np.diff(counts.indptr)
    assert of_users.mean() == pytest.approx(0.2 * 9 / 3)


def test_pairs_are_written_with_their_numbers_of_events(tmp_path):
    counts = sp.csr_matrix(np.array([[3, 0, 1], [0, 0, 0], [0, 2, 0]], np.float32))
    spark.write_pairs(counts, tmp_path / "pairs.parquet")
    table = pq.read_table(tmp_path / "pairs.parquet")
    assert table.to_pydict() == {"user": [0, 0, 2], "item": [0, 2, 1], "count": [3, 1, 2]}
    assert [str(kind) for kind in table.schema.types] == ["int32", "int32", "float"]


def test_own_properties_are_added_and_those_that_a_fit_needs_stay(tmp_path):
    values = {"master": "local[2]", "memory": "3g", "blocks": 6, "conf": {"spark.ui.enabled": "true"}}
    found = spark_job.properties(tmp_path, values, local=True)
    assert found["spark.ui.enabled"] == "true"
    assert found["spark.driver.host"] == "127.0.0.1"
    assert (found["spark.master"], found["spark.executor.memory"]) == ("local[2]", "3g")
    assert found["spark.sql.files.minPartitionNum"] == "6"
    assert "spark.driver.host" not in spark_job.properties(tmp_path, values, local=False)


def test_an_error_is_one_line_without_the_trace_of_java():
    text = "An error occurred\n\tat org.apache.Spark.run(Spark.java:1)\nCaused by: no space."
    assert spark_job.described(RuntimeError(text)) == "RuntimeError: An error occurred Caused by: no space"
    assert len(spark_job.described(RuntimeError("long " * 1000))) <= 1000


def test_the_extra_and_the_engine_of_the_tests_have_one_version(root):
    from object_servers import engines

    assert f'"spark": ["{"==".join(engines().PACKAGES["pyspark"])}"]' in (root / "setup.py").read_text()
    assert os.path.basename(engines().program("pyspark")) == "pyspark"
