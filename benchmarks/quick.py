"""Check that no node became slower: the seconds of each node over those of a reference in the same run.

    python benchmarks/quick.py [--record]

Our pipeline runs twice over 50,000 synthetic events, one node after the other and with nothing cached. Before and after
each run a fixed work is timed, so that the ratio of both does not depend on the machine. A node fails the check if its
smaller ratio is more than 30% above the one in `quick.json`; `--record` writes this file anew.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import dag
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import synthetic

RECORDED = Path(__file__).with_name("quick.json")
EVENTS, RUNS = 50_000, 2
LOSS = 1.3  # the largest accepted ratio to the record
LEAST = 0.1  # the least ratio to the reference that is judged; shorter nodes vary too much


def reference() -> float:
    """Return the seconds of a fixed work: a loop of Python, products of matrices, and strings of Arrow."""
    began = time.perf_counter()
    total = 0
    for number in range(6_000_000):
        total += number & 7
    matrix = np.random.default_rng(0).random([1024, 1024], np.float32)
    for _ in range(12):
        matrix = np.tanh(matrix @ matrix)
    words = pc.cast(pa.array(np.arange(2_000_000) % 5_000), pa.string())
    pc.dictionary_encode(words)
    return time.perf_counter() - began


def measured(folder: Path) -> dict[str, float]:
    """Return group of nodes → its seconds over those of the reference, in one run."""
    before = reference()
    run = dag.ours(folder, synthetic.tables(EVENTS, *synthetic.sizes(EVENTS)), workers=1)
    unit = (before + reference()) / 2
    seconds = {
        group: sum(node.seconds for node in run.nodes if node.name in members) for group, members in dag.GROUPS.items()
    }
    seconds["start and end"] = run.seconds - sum(node.seconds for node in run.nodes)
    return {group: value / unit for group, value in seconds.items()}


def main() -> None:
    """Measure, print a table, and exit with 1 if a node is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the ratios as the new record")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="twostep-quick-"))
    try:
        runs = []
        for number in range(RUNS):
            print(f"run {number + 1} of {RUNS} …", file=sys.stderr, flush=True)
            runs.append(measured(work / str(number)))
    finally:
        shutil.rmtree(work)
    found = {group: round(min(run[group] for run in runs), 3) for group in runs[0]}
    if given.record:
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
    recorded = json.loads(RECORDED.read_text())
    slow = [group for group, value in found.items() if value > LEAST and value > LOSS * recorded[group]]
    print("| nodes | ratio to the reference | recorded | change |\n|---|---|---|---|")
    for group, value in found.items():
        print(f"| {group} | {value:.2f} | {recorded[group]:.2f} | {value / recorded[group] - 1:+.0%} |")
    if slow:
        raise SystemExit(f"slower than recorded by more than {LOSS - 1:.0%}: {', '.join(slow)}")


if __name__ == "__main__":
    main()
