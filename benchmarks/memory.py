"""The memory of an engine over a made catalogue, and that of a second process with the same files.

    python benchmarks/memory.py [--items N] [--dim D]

The model is that of `benchmarks/retrieval.py`, as files, with the index `ivf`. An engine answers queries, then its
memory is read from `/proc`: RSS counts all pages that it has in memory, PSS divides shared ones among the processes
that have them, and USS counts those that it has for itself. `begun with` is the USS after the imports alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import retrieval as made

from components.candidate_index import index
from serving.candidate_source import index_file
from serving.retrieval.retrieval import Prepared, Retrieval
from serving.retrieval.scored import Selection
from trainer.retrieval import plan, table_files

QUERIES, MEBI = 200, 2**20


def of_process(process_id: int | str = "self") -> dict[str, float]:
    """Return the memory of a process in MiB: rss, pss and uss."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"rss": kilobytes["Rss"] / 1024, "pss": kilobytes["Pss"] / 1024, "uss": own / 1024}


def answering(folder: Path) -> None:
    """Answer queries from the files of a folder, print the memory of this process, and stay until stdin is closed."""
    import faiss

    before = of_process()
    described, tables = table_files.read(folder)
    found = faiss.read_index(str(folder / index_file("towers")), faiss.IO_FLAG_MMAP_IFC)
    retrieval = Retrieval(described, tables, {"towers": found})
    for table in tables.values():  # all of them are used in the long run
        table.reshape(-1)[::512].sum()
    random = np.random.default_rng(made.SEED)
    embeddings = tables[plan.named("embeddings", "towers")]
    for _ in range(QUERIES):
        history = random.integers(0, len(embeddings), made.HISTORY).astype(np.int32)
        allowed = np.ones(len(embeddings), bool)
        allowed[history] = False
        asked = {"towers": embeddings[history[-1:]]}
        retrieval.retrieve(Prepared([history], asked, [Selection(allowed)]), made.K)
    print(json.dumps({"before": before["uss"]}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(of_process()), flush=True)


def main() -> None:
    """Print the memory of one and of two processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answering(arguments.answer)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        described, tables = made.made(arguments.items, arguments.dim, 300)
        table_files.write(folder, described, tables)
        index.build("ivf", {"towers": tables["embeddings_of_towers"]}, folder)
        del tables
        size = sum(path.stat().st_size for path in (folder / table_files.FOLDER).glob("*.npy")) / MEBI
        of_index = (folder / index_file("towers")).stat().st_size / MEBI
        print(f"{arguments.items:,} items: tables of {size:,.0f} MiB, an index of {of_index:,.0f} MiB\n")
        print("| processes | RSS, MiB | PSS, MiB | USS, MiB | PSS of all / files | begun with, MiB |")
        print("|---|---|---|---|---|---|")
        command = [sys.executable, __file__, "--answer", str(folder)]
        processes, begun = [], 0.0
        for number in (1, 2):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(process)
            begun = json.loads(process.stdout.readline())["before"]
            found = []
            for each in processes:
                each.stdin.write("\n")
                each.stdin.flush()
                found.append(json.loads(each.stdout.readline()))
            rss, pss, uss = (np.mean([each[key] for each in found]) for key in ("rss", "pss", "uss"))
            total = sum(each["pss"] for each in found) / (size + of_index)
            print(f"| {number} | {rss:,.0f} | {pss:,.0f} | {uss:,.0f} | {total:.2f} | {begun:.0f} |", flush=True)
        for process in processes:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
