"""The plan of a run: its nodes in order, the nodes that one node needs, and the spans of each table."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.printable import one_line, printable


@dataclass(frozen=True)
class Deliveries:
    """The files of a table: its pattern, how many files match it, and the spans that are read, oldest first."""

    pattern: str
    files: int
    spans: tuple[str, ...] = ()


def needed_by(node: str, upstream: Mapping[str, Sequence[str]]) -> set[str]:
    """Return `node` and all nodes that it needs directly or indirectly.

    Args:
      node: the id of a node.
      upstream: node -> the nodes that it reads from.

    Raises:
      UsageError: there is no such node; the message lists all nodes.
    """
    if node not in upstream:
        close = difflib.get_close_matches(node, upstream, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        raise UsageError(f"--until: {one_line(node)} is no node. {hint}The nodes are {', '.join(upstream)}")
    needed, waiting = set(), [node]
    while waiting:
        each = waiting.pop()
        if each not in needed:
            needed.add(each)
            waiting += upstream[each]
    return needed


def lines(
    name: str, tables: Mapping[str, Deliveries], nodes: Sequence[str], run_folder: Path, release: str | None
) -> Iterator[str]:
    """Yield the lines of `twostep run --dry-run`.

    Args:
      name: the name of the recommender.
      tables: table -> its files.
      nodes: the ids of the nodes in the order in which they would run.
      run_folder: the folder that the run would write to.
      release: the version in force; None for none.
    """
    yield f"{name}: {_counted(len(nodes), 'node')} would run; nothing was run"
    yield f"run folder  {printable(run_folder)}"
    yield f"release     {release or 'none yet'}"
    yield "tables"
    for table, found in tables.items():
        spans = f", spans {printable(', '.join(found.spans))}" if found.spans else ""
        yield f"  {table:<14}{printable(found.pattern)}: {_counted(found.files, 'file')}{spans}"
    yield "nodes"
    yield from (f"  {node}" for node in nodes)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
