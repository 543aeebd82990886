"""What a run shows: one line a node, with what it is doing just now."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from core.printable import printable

State = Literal["done", "cached", "resolved", "skipped", "failed"]
_MARKS: dict[State, tuple[str, str]] = {
    "done": ("✓", "green"),
    "cached": ("=", "cyan"),
    "resolved": ("·", "cyan"),
    "skipped": ("-", "dim"),
    "failed": ("✗", "red"),
}
_PLAIN_EVERY_S = 10.0  # where lines cannot be redrawn, a long node says what it does this often


@dataclass(frozen=True)
class NodeResult:
    """What became of one node.

    Args:
      node: its id in the pipeline.
      state: `cached`: an earlier run had done the same; `resolved`: it only looked something up in ML Metadata;
        `skipped`: its condition did not hold.
      seconds: wall time.
      outputs: how many artifacts it has put out.
      execution_id: in ML Metadata; none where nothing was recorded.
    """

    node: str
    state: State
    seconds: float
    outputs: int = 0
    execution_id: int | None = None


class Progress:
    """Shows a run on `console`: redrawn in a terminal, line by line elsewhere (a pipe, a log of CI).

    `results` are the nodes that have ended so far.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        self._console, self._clock = console, clock
        self.results: list[NodeResult] = []
        self._width = 0
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="blue")
        self._name, self._since, self._text, self._said_at = "", 0.0, "", 0.0

    def nodes(self, node_ids: Sequence[str]) -> None:
        """The nodes to come, so that the columns can be laid out."""
        self._width = max(map(len, node_ids), default=0)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Show `name` as what is being done while the block lasts."""
        self._name, self._text = name, ""
        self._since = self._said_at = self._clock()
        if self._console.is_terminal:
            # Nothing else writes to this console, so there is nothing to be caught on its way there.
            self._live = Live(
                get_renderable=self._line,
                console=self._console,
                transient=True,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        try:
            yield
        finally:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def say(self, text: str) -> None:
        """What the running node does just now; for `core.progress.listening`."""
        self._text = printable(" ".join(text.split()))
        now = self._clock()
        if self._live is None and now - self._said_at >= _PLAIN_EVERY_S:
            self._said_at = now
            self._print(Text(f"  {self._name:<{self._width}}  {duration(now - self._since):>12}  {self._text}"))

    def finished(self, result: NodeResult) -> None:
        """Keep the result of a node that has ended, and print its line."""
        self.results.append(result)
        mark, style = _MARKS[result.state]
        words = {"cached": "from cache", "resolved": "looked up", "skipped": "skipped"}.get(result.state) or duration(
            result.seconds
        )
        line = Text.assemble((mark, style), f" {result.node:<{self._width}}  {words:>12}")
        if result.state == "failed":
            line.append("  failed", style="red")
        self._print(line)

    def ended(self, results: Sequence[NodeResult], seconds: float) -> None:
        """The last line: how many nodes, and how long they took together."""
        counts = {state: sum(result.state == state for result in results) for state in _MARKS}
        told = [
            f"{counts['cached']} from cache" if counts["cached"] else "",
            f"{counts['skipped']} skipped" if counts["skipped"] else "",
        ]
        noun = "node" if len(results) == 1 else "nodes"
        self._print(
            Text(", ".join(filter(None, [f"{len(results)} {noun} in {duration(seconds)}", *told])), style="bold")
        )

    def _line(self) -> Spinner:
        elapsed = duration(self._clock() - self._since, whole=True)
        line = Text(f"{self._name:<{self._width}}  {elapsed:>12}  {self._text}", no_wrap=True, overflow="ellipsis")
        self._spinner.update(text=line)
        return self._spinner

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def duration(seconds: float, whole: bool = False) -> str:
    """Seconds as people read them: `0.4 s`, `2 min 05 s`, `1 h 02 min`; `whole` leaves out tenths."""
    if seconds < 59.95:
        return f"{int(seconds)} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds if whole else seconds + 0.5), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
