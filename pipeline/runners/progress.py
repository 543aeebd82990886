"""The progress of a run in the terminal: one line per node, with its latest report."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from core.printable import printable

State = Literal["done", "cached", "skipped", "failed"]
_MARKS: dict[State, tuple[str, str]] = {
    "done": ("✓", "green"),
    "cached": ("=", "cyan"),
    "skipped": ("-", "dim"),
    "failed": ("✗", "red"),
}
_PLAIN_EVERY_S = 10.0  # seconds between two lines of a running node, if the output is not a terminal


@dataclass(frozen=True)
class NodeResult:
    """The result of one node.

    Args:
      node: the id of the node.
      state: `done`; `cached`: its outputs come from the cache; `skipped`: the condition of the node was false;
        `failed`.
      seconds: the wall time of the node.
      outputs: the number of output artifacts.
      execution_id: the id of the execution in ML Metadata; None if nothing was recorded.
    """

    node: str
    state: State
    seconds: float
    outputs: int = 0
    execution_id: int | None = None


@dataclass
class _Running:
    """A running node.

    Args:
      since: when it began.
      printed_at: when its last line was printed, where no line is redrawn; at first when it began.
      text: its latest report.
    """

    since: float
    printed_at: float
    text: str = ""


class Progress:
    """The progress of a run on a console: redrawn in a terminal, line by line elsewhere (a pipe, a log).

    Attributes:
      results: the results of finished nodes.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        self._console, self._clock = console, clock
        self.results: list[NodeResult] = []
        self._width = 0
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="blue")
        self._running: dict[str, _Running] = {}
        self._lock, self._drawing = threading.RLock(), threading.Lock()

    def set_nodes(self, node_ids: Sequence[str]) -> None:
        """Set the nodes of the run, which determine the width of the columns."""
        self._width = max(map(len, node_ids), default=0)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Show `name` as running until the block ends; several threads may do so."""
        with self._lock:
            now = self._clock()
            self._running[name] = _Running(now, now)
        try:
            self._draw_or_stop()
            yield
        finally:
            with self._lock:
                del self._running[name]
            self._draw_or_stop()

    def _draw_or_stop(self) -> None:
        """Start to draw the lines of the running nodes in a terminal, or stop if no node runs."""
        if not self._console.is_terminal:
            return
        with self._drawing:  # and not `_lock`, for which the thread that draws waits
            if self._running and self._live is None:
                # Nothing else writes to this console, so stdout and stderr need not be redirected.
                self._live = Live(
                    get_renderable=self._lines,
                    console=self._console,
                    transient=True,
                    refresh_per_second=8,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            elif not self._running and self._live is not None:
                self._live.stop()
                self._live = None

    def update(self, name: str, text: str) -> None:
        """Show a report of a running node."""
        with self._lock:
            node, now = self._running[name], self._clock()
            node.text = printable(" ".join(text.split()))
            if not self._console.is_terminal and now - node.printed_at >= _PLAIN_EVERY_S:
                node.printed_at = now
                self._print(Text(f"  {name:<{self._width}}  {duration(now - node.since):>12}  {node.text}"))

    def node_finished(self, result: NodeResult) -> None:
        """Record the result of a node and print its line."""
        self.results.append(result)
        mark, style = _MARKS[result.state]
        states: dict[State, str] = {"cached": "from cache", "skipped": "skipped"}
        text = states.get(result.state) or duration(result.seconds)
        line = Text.assemble((mark, style), f" {result.node:<{self._width}}  {text:>12}")
        if result.state == "failed":
            line.append("  failed", style="red")
        self._print(line)

    def run_finished(self, results: Sequence[NodeResult], seconds: float) -> None:
        """Print the last line: the number of nodes and the time of the run."""
        counts = {state: sum(result.state == state for result in results) for state in _MARKS}
        details = [
            f"{counts['cached']} from cache" if counts["cached"] else "",
            f"{counts['skipped']} skipped" if counts["skipped"] else "",
        ]
        noun = "node" if len(results) == 1 else "nodes"
        self._print(
            Text(", ".join(filter(None, [f"{len(results)} {noun} in {duration(seconds)}", *details])), style="bold")
        )

    def _lines(self) -> Group:
        """Return the lines of the running nodes."""
        with self._lock:
            running = list(self._running.items())
        return Group(*(self._line(name, node) for name, node in running))

    def _line(self, name: str, node: _Running) -> Table:
        """Return the line of a running node."""
        elapsed = duration(self._clock() - node.since, whole=True)
        line = Text(f"{name:<{self._width}}  {elapsed:>12}  {node.text}", no_wrap=True, overflow="ellipsis")
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(self._spinner, line)
        return grid

    def _print(self, line: Text) -> None:
        """Print a line without wrapping."""
        self._console.print(line, soft_wrap=True, highlight=False)


def duration(seconds: float, whole: bool = False) -> str:
    """Format a duration: `0.4 s`, `2 min 05 s`, `1 h 02 min`; in whole seconds if `whole`."""
    if seconds < 59.95:
        return f"{int(seconds)} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds if whole else seconds + 0.5), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
