"""The driver of a fit by Spark, in a process of its own: `python -m trainer.retrieval.factors.spark_job`.

It reads one line of JSON from stdin, fits, and leaves the items' vectors as Parquet, or the error as text. It ends when
stdin is closed, so when its caller has ended. Spark's virtual machine ends with this process for the same reason.
"""

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from trainer.retrieval.factors.spark import COUNT, FACTORS, FAILURE, ITEM, PAIRS, USER

_MOST_CHARACTERS = 1000  # of an error


def main() -> int:
    """Read a request, fit, and return the exit code."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_caller, daemon=True).start()
    try:
        fit(Path(request["folder"]), request["als"], request["spark"], request["local"])
        return 0
    except Exception as error:
        # Before the end of the virtual machine, which holds the message.
        Path(request["folder"], FAILURE).write_text(described(error), encoding="utf-8")
        traceback.print_exc()
        return 1
    finally:
        _end_machine()


def fit(folder: Path, als: dict[str, Any], spark: dict[str, Any], local: bool) -> None:
    """Fit ALS to the pairs in `folder`, and write the items' vectors: columns `id` and `features`.

    Args:
      als: the parameters of `pyspark.ml.recommendation.ALS`, in addition to those that are the same for all fits.
      spark: `trainer.retrieval.factors.settings.Spark` as JSON.
      local: whether the master is this machine.
    """
    from pyspark import SparkConf
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    blocks = spark["blocks"]
    conf = SparkConf().setAll(list(properties(folder, spark, local).items()))
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    try:
        context = session.sparkContext
        context.setLogLevel("WARN")
        context.setCheckpointDir(folder.joinpath("checkpoints").as_uri())  # or the plan grows with each iteration
        if not local:
            _wait_for_executor(context, spark)
        estimator = ALS(
            implicitPrefs=True,
            userCol=USER,
            itemCol=ITEM,
            ratingCol=COUNT,
            numUserBlocks=blocks,
            numItemBlocks=blocks,
            **als,
        )
        fitted = estimator.fit(session.read.parquet(folder.joinpath(PAIRS).as_uri()))
        fitted.itemFactors.write.parquet(folder.joinpath(FACTORS).as_uri())
    finally:
        session.stop()


def properties(folder: Path, spark: dict[str, Any], local: bool) -> dict[str, str]:
    """Return the properties of Spark: those of the user, and those that a fit needs as they are."""
    here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.local.dir": str(folder)}
    return {
        "spark.app.name": "twostep ials",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(here if local else {}),
        **spark["conf"],
        "spark.master": spark["master"],
        "spark.driver.memory": spark["memory"],
        "spark.executor.memory": spark["memory"],
        "spark.sql.warehouse.dir": folder.joinpath("warehouse").as_uri(),
        # The number of parts that are read, which otherwise follows from the number of cores, orders the pairs, and so
        # the sums of a fit.
        "spark.sql.files.minPartitionNum": str(spark["blocks"]),
        "spark.default.parallelism": str(spark["blocks"]),
    }


def _wait_for_executor(context: Any, spark: dict[str, Any]) -> None:
    """Wait for the first executor, since Spark itself would wait without an end. Raises: TimeoutError."""
    began = time.monotonic()
    while context._jsc.sc().getExecutorMemoryStatus().size() < 2:  # the driver is one of them
        if context._jsc.sc().isStopped():
            raise ConnectionError("the master refused the application")
        if time.monotonic() - began > spark["start_seconds"]:
            raise TimeoutError(
                f"no machine of the cluster gave an executor of {spark['memory']} in {spark['start_seconds']} s. Look "
                "at the page of the master for free cores and memory, or raise `start_seconds`"
            )
        time.sleep(0.5)


def described(error: BaseException) -> str:
    """Return an error of Spark, or of Java below it, in one line and without the traces of Java."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    text = f"{type(error).__name__}: {error}"
    if java is not None:
        while java.getCause() is not None:
            java = java.getCause()
        text = java.toString()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    return " ".join(lines)[:_MOST_CHARACTERS].rstrip(". ")


def _end_machine() -> None:
    """End Spark's virtual machine, and wait for its end."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def _end_with_caller() -> NoReturn:
    """End this process when its caller has ended; Spark's virtual machine then ends as well."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
