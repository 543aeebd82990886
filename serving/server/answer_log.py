"""The log of answers, with the inputs from which they can be made again."""

from collections.abc import Sequence

from serving import replay
from serving.batcher import Batcher, BusyError
from serving.experiments.settings import Arm
from serving.requests import Recommendations, Request
from serving.server.metrics import Metrics
from serving.stores.store import Answer, Store, StoreError

_Entry = tuple[Answer, Request, Recommendations, Arm | None]


class AnswerLog:
    """A thread that writes answers to a store, many at once. An answer that cannot be written is counted as lost.

    Args:
      store: the store.
      metrics: where lost answers are counted.
      with_inputs: whether the inputs of the answers are written, too.
    """

    def __init__(self, store: Store, metrics: Metrics, with_inputs: bool):
        self._store, self._metrics, self._with_inputs = store, metrics, with_inputs
        self._entries = Batcher[_Entry, None](self._write, 1000)

    def add(self, answer: Answer, asked: Request, found: Recommendations, arm: Arm | None) -> None:
        """Write an answer soon; see `serving.replay.inputs`."""
        try:
            self._entries.submit((answer, asked, found, arm))
        except BusyError:
            self._metrics.lost(1)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._entries.close()

    def _write(self, entries: Sequence[_Entry]) -> Sequence[None]:
        inputs = [replay.inputs(*each) for each in entries] if self._with_inputs else []
        try:
            self._store.add_answers([answer for answer, *_ in entries], inputs)
        except StoreError:
            self._metrics.lost(len(entries))
        return [None] * len(entries)
