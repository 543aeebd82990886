"""The whole pipeline beside one of stock TFX components, node by node, on the same synthetic events.

    python benchmarks/dag.py [--events N …] [--items N] [--only ours|stock] [--until NODE] [--work FOLDER]
        [--output FILE]

For each number of events, the tables of `synthetic.py` run through `stock_tfx.py` and then through `twostep run`, each
in a process of its own and with nothing cached. Seconds and output bytes come from ML Metadata and the output folders.
Memory is the proportional set size of the process and its children, sampled every half second; nodes that run side by
side count each other's memory.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import synthetic
import yaml

ROOT = Path(__file__).resolve().parents[1]
BATCH, EPOCHS, DIM = 4096, 5, 32
EXACT = 100_000  # the largest number of items with exact search
# Nodes of both pipelines that do the same work; the first name is that of the row.
GROUPS = {
    "ExampleGen": ("CsvExampleGen", "InteractionGen", "UserGen", "ItemGen"),
    "StatisticsGen": ("StatisticsGen", "InteractionStatisticsGen", "UserStatisticsGen", "ItemStatisticsGen"),
    "EventJoiner": ("EventJoiner",),
    "Transform": ("Transform",),
    "RetrievalTrainer": ("RetrievalTrainer",),
    "CandidateIndex": ("CandidateIndex",),
    "CandidateGenerator": ("CandidateGenerator",),
    "RankingTrainer": ("RankingTrainer",),
    "Evaluators": ("Evaluator", "RetrievalEvaluator", "RankingEvaluator", "TwoStepEvaluator"),
}


@dataclass(frozen=True)
class Node:
    """What one node of a run cost: its start and end in seconds since the epoch, and bytes."""

    name: str
    start: float
    end: float
    written: int
    memory: int

    @property
    def seconds(self) -> float:
        """Return the duration."""
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """What one run cost: seconds of the whole process, peak memory in bytes, and the nodes."""

    seconds: float
    memory: int
    nodes: list[Node]


def configuration(n_items: int) -> dict:
    """Return the configuration of our pipeline for the tables of `synthetic.py` in the folder `tables`."""
    return {
        "name": "ours",
        "data": {
            "root": "tables",
            "interactions": {"path": "interactions.csv", "rating_range": [1, 5], "on_duplicate": "drop"},
            "users": {"path": "users.csv"},
            "items": {"path": "items.csv"},
            "exclude_seen": False,
        },
        "features": {
            "user": {"gender": "categorical", "occupation": "categorical", "age": {"kind": "numeric", "buckets": 8}},
            "item": {"category": "categorical", "price": {"kind": "numeric", "buckets": 8}},
        },
        "split": {"method": "temporal"},
        "retrieval": {
            "model": "two_tower",
            "params": {"dim": DIM, "batch_size": BATCH, "epochs": EPOCHS},
            "candidates": 100,
            "index": {"kind": "exact" if n_items <= EXACT else "hnsw"},
        },
        "ranking": {"model": "mlp"},
        "evaluation": {"rules": []},  # so that every run ends with a release
    }


def measured(command: list[str], folder: Path, metadata: Path, outputs: Path, code: Path = ROOT) -> Run:
    """Run a pipeline and return what it cost.

    Args:
      command: the command of the pipeline.
      folder: its working directory.
      metadata: its ML Metadata store.
      outputs: the folder of its artifacts, one subfolder for each node.
      code: the checkout whose packages it imports.

    Raises:
      SystemExit: the command failed.
    """
    samples: list[tuple[float, int]] = []
    began = time.time()
    with open(folder / "log", "w") as log:
        path = os.pathsep.join([str(code), str(ROOT / "benchmarks")])
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        sampler = threading.Thread(target=_sample, args=(process, samples))
        sampler.start()
        code = process.wait()
        sampler.join()
    seconds = time.time() - began
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n" + (folder / "log").read_text()[-3000:])
    nodes = []
    for name, start, end in windows(metadata):
        inside = [size for when, size in samples if start <= when <= end]
        written = sum(file.stat().st_size for file in (outputs / name).rglob("*") if file.is_file())
        nodes.append(Node(name, start, end, written, max(inside, default=0)))
    return Run(seconds, max(size for _, size in samples), nodes)


def _sample(process: subprocess.Popen, samples: list[tuple[float, int]]) -> None:
    """Append (time, bytes) while the process runs."""
    while process.poll() is None:
        total = 0
        try:
            for pid in _with_children(process.pid):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # a process ended
            continue
        samples.append((time.time(), total))
        time.sleep(0.5)


def _with_children(pid: int) -> Iterator[int]:
    """Yield a process and all processes below it."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in file.read_text().split():
            yield from _with_children(int(child))


def windows(metadata: Path) -> list[tuple[str, float, float]]:
    """Return (node, start, end) of each execution in an ML Metadata store, in order of start."""
    from ml_metadata import metadata_store
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    store = metadata_store.MetadataStore(sqlite_metadata_connection_config(str(metadata)))
    found = []
    for execution in store.get_executions():
        [node] = [
            context.name.split(".", 1)[1]
            for context in store.get_contexts_by_execution(execution.id)
            if context.type == "node"
        ]
        times = execution.create_time_since_epoch, execution.last_update_time_since_epoch
        found.append((node, times[0] / 1000, times[1] / 1000))
    return sorted(found, key=lambda each: each[1])


def stock(folder: Path, tables: dict) -> Run:
    """Run the stock pipeline over the joined events."""
    synthetic.write(folder / "joined" / "events.csv", synthetic.joined(tables))
    command = [sys.executable, str(ROOT / "benchmarks" / "stock_tfx.py"), str(folder), str(len(tables["interactions"]))]
    return measured(command, folder, folder / "metadata.sqlite", folder / "pipeline")


def ours(folder: Path, tables: dict, workers: int | None = None, code: Path = ROOT, until: str | None = None) -> Run:
    """Run our pipeline over the three tables.

    Args:
      folder: the folder to write to.
      tables: the tables of `synthetic.tables`.
      workers: the number of workers; None for as many as the machine allows.
      code: the checkout whose pipeline runs.
      until: the last node; None for all nodes.
    """
    for name, table in tables.items():
        synthetic.write(folder / "tables" / f"{name}.csv", table)
    (folder / "ours.yaml").write_text(yaml.safe_dump(configuration(len(tables["items"]))))
    command = [str(Path(sys.executable).with_name("twostep")), "run", "ours.yaml"]
    command += [] if workers is None else ["--workers", str(workers)]
    command += [] if until is None else ["--until", until]
    root = folder / "runs" / "ours"
    return measured(command, folder, root / "metadata.sqlite", root / "pipeline", code)


def table(runs: dict[str, Run], events: int) -> str:
    """Return a Markdown table of the groups of nodes in both runs."""
    heads = ["nodes"]
    for column in ("s", "ratio", "rows/s", "MB of memory", "MB written"):
        heads += [column] if column == "ratio" else [f"stock, {column}", f"ours, {column}"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    known = {member for members in GROUPS.values() for member in members}
    others = {node.name for run in runs.values() for node in run.nodes} - known
    for group, members in (GROUPS | {"all others": tuple(others)}).items():
        nodes = {name: [node for node in run.nodes if node.name in members] for name, run in runs.items()}
        lines.append(_line(group, nodes, events))
    whole = {name: run.seconds for name, run in runs.items()}
    ratio = f"{whole['stock'] / whole['ours']:.1f}" if len(runs) == 2 else ""
    cells = [f"{whole[name]:.0f}" if name in whole else "" for name in ("stock", "ours")]
    memory = [f"{runs[name].memory / 1e6:,.0f}" if name in runs else "" for name in ("stock", "ours")]
    rates = [f"{events / whole[name]:,.0f}" if name in whole else "" for name in ("stock", "ours")]
    lines.append("| " + " | ".join(["**the whole command**", *cells, ratio, *rates, *memory, "", ""]) + " |")
    return "\n".join(lines)


def _line(label: str, nodes: dict[str, list[Node]], events: int) -> str:
    """Return the row of a group of nodes."""
    cells: dict[str, list[str]] = {"seconds": [], "rates": [], "memory": [], "written": []}
    seconds = {}
    for name in ("stock", "ours"):
        group = nodes.get(name, [])
        seconds[name] = sum(node.seconds for node in group)
        cells["seconds"].append(f"{seconds[name]:.1f}" if group else "")
        cells["rates"].append(f"{events / seconds[name]:,.0f}" if group and seconds[name] else "")
        cells["memory"].append(f"{max(node.memory for node in group) / 1e6:,.0f}" if group else "")
        cells["written"].append(f"{sum(node.written for node in group) / 1e6:,.1f}" if group else "")
    ratio = f"{seconds['stock'] / seconds['ours']:.1f}" if seconds["stock"] and seconds["ours"] else ""
    parts = [label, *cells["seconds"], ratio, *cells["rates"], *cells["memory"], *cells["written"]]
    return "| " + " | ".join(parts) + " |"


def conditions() -> dict[str, str | int]:
    """Return what the figures depend on besides the code: the machine, the versions, and the command."""
    info = Path("/proc/cpuinfo").read_text()
    models = {line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")}
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "command": " ".join(["python", "benchmarks/dag.py", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "processor": ", ".join(sorted(models)),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "python": platform.python_version(),
        "tensorflow": importlib.metadata.version("tensorflow"),
        "tfx": importlib.metadata.version("tfx"),
    }


def main() -> None:
    """Run both pipelines for each number of events, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_209], help="default: 1,000,209")
    parser.add_argument("--items", type=int, help="the number of items (default: 3,706)")
    parser.add_argument("--until", help="the last node of our pipeline (default: all nodes run)")
    parser.add_argument("--only", choices=["stock", "ours"], help="run one of the pipelines")
    parser.add_argument("--work", type=Path, help="a folder for the runs, which is kept (default: a temporary one)")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="twostep-dag-"))
    figures = []
    for events in given.events:
        users, items = synthetic.sizes(events)
        tables = synthetic.tables(events, users, given.items or items)
        runs = {}
        for name in ("stock", "ours"):
            if given.only in (None, name):
                folder = work / f"{name}-{events}"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                runs[name] = stock(folder, tables) if name == "stock" else ours(folder, tables, until=given.until)
        print(f"{events:,} events, {len(os.sched_getaffinity(0))} cores\n\n{table(runs, events)}\n", flush=True)
        figures.append({"events": events} | {name: asdict(run) for name, run in runs.items()})
    if given.output:
        given.output.write_text(json.dumps({"conditions": conditions(), "figures": figures}, indent=1) + "\n")
    if not given.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
