"""The items' vectors of iALS, fitted by Spark's ALS in a process of its own. No TensorFlow here.

With n_u the number of items that user u has events with, n_i the number of users with events with item i, and c, p, x
and y as in `trainer.retrieval.factors.ials`, Spark minimises

    Σ_{u,i} c_ui (p_ui − x_u · y_i)² + μ (Σ n_u ‖x_u‖² + Σ n_i ‖y_i‖²)

The weights n_u and n_i are those of Zhou et al., "Large-scale parallel collaborative filtering for the Netflix Prize",
AAIM 2008 (ALS-WR); Spark cannot leave them out, and `implicit` has none. With R events of P pairs of a user and an
item, μ = regularization · R / P makes the mean of the penalties μ n_u of the users equal to the λ of `implicit`. The
vector of a query has the penalty λ in both cases. The lists differ too, see docs/adr/0032-spark.md.

Another process runs the driver, so that Spark's virtual machine shares nothing with the process that fits other models,
and ends with it however it ends. The pairs and the vectors pass through Parquet files. Fits of the same pairs with the
same seed and number of blocks differ by no more than the rounding of sums: Spark adds up blocks in the order in which
they are ready.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import progress
from core.errors import ModelError, UsageError
from trainer.retrieval.factors.settings import IALSSettings, Spark

if TYPE_CHECKING:
    import scipy.sparse as sp

PAIRS, FACTORS, FAILURE = "pairs.parquet", "factors", "failure.txt"
USER, ITEM, COUNT = "user", "item", "count"
_JOB = "trainer.retrieval.factors.spark_job"
_ROWS = 1 << 20  # in a row group
_JAVA = 17  # the oldest Java of Spark 4
_MODULE = "jdk.incubator.vector"  # which the scripts of Spark 4 load, and small distributions of Java lack
_SECONDS = 10  # for a master to accept a connection
_POLL_S, _REPORT_S = 0.2, 5


# ---- what a fit needs ----


def check(settings: IALSSettings) -> None:
    """Check what a fit by Spark needs; a fit by `implicit` needs nothing.

    Raises:
      UsageError: pyspark or Java is missing or too old, the folder is not there, or the master does not answer.
    """
    spark = settings.spark
    if spark is None:
        return
    _check_pyspark()
    _check_java()
    if spark.folder is not None and not (Path(spark.folder).is_dir() and os.access(spark.folder, os.W_OK | os.X_OK)):
        raise UsageError(
            f"ials: spark.folder: {spark.folder} should be a folder that can be written to and that the cluster "
            "shares; found none. Create or mount it, or correct the path"
        )
    if spark.master.startswith("spark://"):
        _check_answers(spark.master)


def _check_pyspark() -> None:
    if importlib.util.find_spec("pyspark") is None:
        raise UsageError(
            "ials: `spark` needs the package pyspark, version 4; found none. Install it with "
            "`pip install 'twostep[spark]'`, or set `spark: null`"
        )
    version = importlib.metadata.version("pyspark")
    if not version.startswith("4."):
        raise UsageError(
            f"ials: `spark` needs the package pyspark, version 4; found {version}. Install it with "
            "`pip install 'twostep[spark]'`"
        )


def _check_java() -> None:
    """Check the Java that Spark's scripts start: that of JAVA_HOME, or else that of the PATH. Raises: UsageError."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    todo = (
        f"Install Java {_JAVA} or newer, such as the package openjdk-{_JAVA}-jre-headless of Debian, and let JAVA_HOME "
        "or PATH lead to it"
    )
    place = f"JAVA_HOME, {home}" if home else "the PATH"
    if shutil.which(java) is None:
        raise UsageError(f"ials: `spark` needs Java {_JAVA} or newer; found none in {place}. {todo}")
    version = _started(java, "-version")
    number = re.search(r'version "(?:1\.)?(\d+)', version)
    if number is None or int(number[1]) < _JAVA:
        found = version.strip().splitlines()[0] if version.strip() else "one that does not start"
        raise UsageError(f"ials: `spark` needs Java {_JAVA} or newer; found {found} in {place}. {todo}")
    if _MODULE not in _started(java, "--list-modules"):
        raise UsageError(
            f"ials: `spark` needs a Java with the module {_MODULE}; found Java {number[1]} without it in {place}. "
            + todo
        )


def _started(*command: str) -> str:
    """Return what a program prints; empty if it does not start."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout


def _check_answers(master: str) -> None:
    """Raise UsageError if none of the masters of a cluster accepts a connection."""
    faults = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _SECONDS):
                return
        except (OSError, OverflowError) as error:
            faults.append(str(error))
    raise UsageError(
        f"ials: spark.master: {master} does not answer ({'; '.join(faults)}). Start the master of Spark, or correct "
        "the address"
    )


# ---- the fit ----


def item_factors(counts: "sp.csr_matrix", settings: IALSSettings, spark: Spark, seed: int) -> np.ndarray:
    """Return the items' vectors y [N, D], zero for items without events.

    Args:
      counts: [U, N] the number of events of each user with each item.
    Raises:
      UsageError: as `check`.
      ModelError: Spark failed; the message has its error.
    """
    import pyarrow.parquet as pq

    check(settings)
    with tempfile.TemporaryDirectory(prefix="twostep-spark-", dir=spark.folder, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_pairs(counts, folder / PAIRS)
        als = {
            "rank": settings.factors,
            "maxIter": settings.iterations,
            "regParam": penalty(counts, settings),
            "alpha": settings.alpha,
            "seed": seed,
        }
        _run({"folder": name, "als": als, "spark": spark.model_dump(), "local": spark.is_local}, folder)
        table = pq.read_table(folder / FACTORS).combine_chunks()
    vectors = table["features"].combine_chunks().flatten().to_numpy().reshape(-1, settings.factors)
    factors = np.zeros((counts.shape[1], settings.factors), np.float32)
    factors[table["id"].to_numpy()] = vectors
    if not np.isfinite(factors).all():
        raise ModelError("ials: Spark returned vectors that are not finite. Raise `regularization`, or lower `alpha`")
    return factors


def penalty(counts: "sp.csr_matrix", settings: IALSSettings) -> float:
    """Return μ: the penalty on squared vectors of a user or item, for each of its pairs."""
    return settings.regularization * float(counts.data.sum(dtype=np.float64)) / counts.nnz


def write_pairs(counts: "sp.csr_matrix", file: Path) -> None:
    """Write the pairs of a user and an item with events as the columns USER, ITEM (int32) and COUNT (float32)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    users = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    columns = {USER: users, ITEM: counts.indices.astype(np.int32), COUNT: counts.data.astype(np.float32)}
    pq.write_table(pa.table(columns), file, row_group_size=_ROWS)


def _run(request: dict[str, Any], folder: Path) -> None:
    """Run the driver until it ends, and end it with Spark's virtual machine if this is interrupted.

    Raises:
      ModelError: it failed.
    """
    # A session of its own: Ctrl-C reaches the first process only, and all of the group can be ended together.
    process = subprocess.Popen(
        [sys.executable, "-m", _JOB],
        stdin=subprocess.PIPE,
        cwd=folder,  # Spark writes files to the working folder
        env=os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path if place)},
        start_new_session=True,
    )
    if process.stdin is None:
        raise RuntimeError("the driver has no pipe")
    master, began, reported = request["spark"]["master"], time.monotonic(), 0.0
    try:
        with suppress(BrokenPipeError):  # it has ended, which is found below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        # Not reaped yet, so that no other process can get the number of the group.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            seconds = time.monotonic() - began
            if seconds >= reported + _REPORT_S:
                progress.report(f"fitting on Spark, {master}: {seconds:.0f} s")
                reported = seconds
            time.sleep(_POLL_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        process.stdin.close()
    if code:
        file = folder / FAILURE
        found = file.read_text(encoding="utf-8") if file.is_file() else ""
        raise ModelError(
            f"ials: the fit on Spark, {master}, failed: {found}. The log has Spark's messages"
            if found
            else f"ials: the fit on Spark, {master}, ended with code {code}, for example because the machine has no "
            f"memory left for `spark.memory: {request['spark']['memory']}`. The log has Spark's messages"
        )
