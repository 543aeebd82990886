"""The two-step task of a finished run, by scripts of what people use instead, each in an environment of its own.

    twostep run examples/movielens-100k.yaml
    python benchmarks/peers.py examples/movielens-100k.yaml

Each script of `peers/` gets the events before test, the tables and the users of the run's test queries. The lists
that it writes are evaluated like ours. Its seconds and memory are those of the whole process, imports included; our
seconds are those of the nodes from RetrievalTrainer to RankingTrainer. The environments are made by uv in a temporary
folder.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dag
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.recommender_evaluator.executor import RANKINGS_FILE, Test
from core import metrics, names
from core.arrow import event_types
from core.events import read_events
from pipeline.config.model import load
from pipeline.config.paths import pipeline_root, run_folder
from pipeline.dag import settings
from transform.arrow_types import feature_types

PEERS = {
    "implicit_lightgbm": ("implicit==0.7.2", "lightgbm==4.6.0", "pandas==2.2.3", "pyarrow", "scikit-learn", "scipy"),
    "rectools_two_stage": ("rectools[catboost]==0.18.0", "pandas==2.2.3", "pyarrow==17.0.0"),
}
LENGTH = 100
OURS = ("RetrievalTrainer", "CandidateIndex", "CandidateGenerator", "RankingTrainer")


def run_peer(name: str, folder: Path, environment: Path) -> tuple[float, float]:
    """Run a script of `peers/` in an environment of its own, and return its seconds and gigabytes."""
    python, uv = environment / "bin" / "python", Path(sys.executable).parents[1] / "tools" / "bin" / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.base_prefix + "/bin/python3.11", environment], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PEERS[name]], check=True)
    script = dag.ROOT / "benchmarks" / "peers" / f"{name}.py"
    began = time.time()
    single = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as `implicit` asks for, which has threads of its own
    process = subprocess.Popen([python, script, folder], cwd=folder, stdout=subprocess.DEVNULL, env=single)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{script} ended with {os.waitstatus_to_exitcode(status)}")
    return time.time() - began, usage.ru_maxrss / 1e6


def newest(root: Path, node: str, output: str) -> Path:
    """Return the folder of the newest output of a node."""
    return max((root / node / output).iterdir(), key=lambda folder: int(folder.name))


def export(test: Test, folder: Path) -> None:
    """Write what a peer gets: known.parquet, users.parquet, items.parquet and queries.parquet."""
    users = {names.USER_ID: pa.string(), **feature_types(test.features.user)}
    parts = [read_events(test.uri, split, users) for split in (names.TRAIN, names.EVAL, names.TEST)]
    people = pa.concat_tables(parts).to_pandas().drop_duplicates(names.USER_ID)
    items = test.catalogue.table.select([names.ITEM_ID, *feature_types(test.features.item)]).to_pandas()
    types = event_types(has_rating=True)
    known = pa.concat_tables([read_events(test.uri, split, types) for split in (names.TRAIN, names.EVAL)])
    tables = {"known": known, "queries": test.queries.users.select([names.USER_ID])}
    for name, frame in (("users", people), ("items", items)):
        scalars = [column for column in frame.columns if frame[column].map(np.ndim).max() == 0]
        tables[name] = pa.Table.from_pandas(frame[scalars], preserve_index=False)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")


def lists_of(test: Test, file: Path) -> np.ndarray:
    """Return the lists of a peer as item rows [Q, 100], padded with -1."""
    found = pq.read_table(file).to_pandas()
    result = np.full((len(test.queries), LENGTH), -1, np.int32)
    by_user = found.groupby(names.USER_ID)[names.ITEM_ID]
    wanted = {user: row for row, user in enumerate(test.queries.users[names.USER_ID].to_pylist())}
    for user, items in by_user:
        rows = test.catalogue.rows(items.head(LENGTH).tolist())
        result[wanted[user], : len(rows)] = rows
    return result


def quality(test: Test, rows: np.ndarray) -> str:
    """Return the cells of NDCG@10 and Recall@100."""
    offsets = test.queries.relevant_offsets
    hits = metrics.hits(rows[:, :LENGTH], offsets, test.queries.relevant_items, len(test.catalogue))
    ndcg, recall = metrics.ndcg(hits, np.diff(offsets), 10), metrics.recall(hits, np.diff(offsets), LENGTH)
    return f"{np.nanmean(ndcg):.4f} | {np.nanmean(recall):.4f}"


def main() -> None:
    """Print the quality, seconds and memory of the run and of each peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="the configuration of a finished run")
    parser.add_argument("--only", choices=PEERS, help="run one of the peers")
    given = parser.parse_args()
    config = load(given.config)
    root = Path(pipeline_root(config))
    test = Test(str(newest(root, "EventJoiner", "examples")), settings.evaluator(config, "", both_steps=True))
    nodes = [node for node in dag.windows(run_folder(config) / "metadata.sqlite") if node[0] in OURS]
    seconds = sum(end - start for _, start, end in nodes)
    with np.load(newest(root, "TwoStepEvaluator", "evaluation") / RANKINGS_FILE, allow_pickle=False) as kept:
        print("| | NDCG@10 | Recall@100 | s | GB |\n|---|---|---|---|---|")
        print(f"| twostep | {quality(test, kept['two_step'])} | {seconds:.0f} | |", flush=True)
    for name in [given.only] if given.only else PEERS:
        with tempfile.TemporaryDirectory(prefix="twostep-peer-") as temporary:
            folder = Path(temporary)
            export(test, folder)
            seconds, memory = run_peer(name, folder, folder / "environment")
            rows = lists_of(test, folder / "lists.parquet")
        print(f"| {name} | {quality(test, rows)} | {seconds:.0f} | {memory:.1f} |", flush=True)


if __name__ == "__main__":
    main()
