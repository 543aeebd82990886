"""Check that no node became slower than at another commit: both run in turn, on the same events.

    python benchmarks/quick.py [--base REVISION]

The pipeline of this checkout and that of the base run in turn over 30,000 synthetic events, one node after the other
and with nothing cached, `RUNS` times each, so that a machine whose speed varies slows both. A group of nodes fails the
check if the median of its ratios, ours over the base, is above `LOSS`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import dag
import synthetic

EVENTS, RUNS = 30_000, 2
LOSS = 1.3  # the largest accepted ratio
LEAST_S = 1.0  # a group of nodes that takes less at the base is judged only if it lost as much


def seconds_of(folder: Path, code: Path) -> dict[str, float]:
    """Return group of nodes → its seconds in one run of the pipeline of a checkout."""
    run = dag.ours(folder, synthetic.tables(EVENTS, *synthetic.sizes(EVENTS)), workers=1, code=code)
    seconds = {
        group: sum(node.seconds for node in run.nodes if node.name in members) for group, members in dag.GROUPS.items()
    }
    return seconds | {"start and end": run.seconds - sum(node.seconds for node in run.nodes)}


def main() -> None:
    """Measure, print a table, and exit with 1 if a group of nodes is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="HEAD~1", help="the commit to compare with (default: HEAD~1)")
    given = parser.parse_args()
    ours, base = list[dict[str, float]](), list[dict[str, float]]()
    with tempfile.TemporaryDirectory(prefix="twostep-quick-") as folder:
        work = Path(folder)
        git = ["git", "-C", str(dag.ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(work / "base"), given.base], check=True)
        try:
            for number in range(RUNS):
                for name, code, found in (("base", work / "base", base), ("ours", dag.ROOT, ours)):
                    print(f"run {number + 1} of {RUNS}, {name} …", file=sys.stderr, flush=True)
                    found.append(seconds_of(work / f"{name}-{number}", code))
        finally:
            subprocess.run([*git, "remove", "--force", str(work / "base")], check=True)
    print(f"| nodes | {given.base}, s | ours, s | ratio |\n|---|---|---|---|")
    slow = []
    for group in dag.GROUPS | {"start and end": ()}:
        ratio = statistics.median(mine[group] / theirs[group] for mine, theirs in zip(ours, base, strict=True))
        columns = [f"{statistics.median(run[group] for run in runs):.1f}" for runs in (base, ours)]
        print(f"| {group} | {' | '.join(columns)} | {ratio:.2f} |")
        lost = min(run[group] for run in ours) - max(run[group] for run in base)
        if ratio > LOSS and (min(run[group] for run in base) >= LEAST_S or lost >= LEAST_S):
            slow.append(group)
    if slow:
        raise SystemExit(f"slower than {given.base} by more than {LOSS - 1:.0%}: {', '.join(slow)}")


if __name__ == "__main__":
    main()
