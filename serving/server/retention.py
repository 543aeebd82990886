"""The deletion of old logged answers, and of what they were made from."""

import logging
import threading
import time
from collections.abc import Callable

from core.errors import TwostepError
from serving.stores.store import Store

DAY_S, HOUR_S = 86_400, 3600
EVERY_S = 600  # the time between two looks for old answers
AT_ONCE = 1000  # the number of answers that one transaction deletes
PAUSE_S = 0.1  # the time between two transactions, in which events are written

log = logging.getLogger("twostep.serve")


class Retention:
    """A thread that deletes answers of a store, and their inputs, when they are old.

    Args:
      store: the store.
      keep_days: the days after which an answer is deleted; 0 to keep all.
      replay_hours: the hours after which the inputs of an answer are deleted; 0 to keep none.
      every_s: the time between two looks.
    """

    def __init__(self, store: Store, keep_days: float, replay_hours: float = 0.0, every_s: float = EVERY_S):
        self._store, self._every_s = store, every_s
        self._keep_s, self._replay_s = keep_days * DAY_S, replay_hours * HOUR_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the transaction that it is in."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._delete()
            except TwostepError as error:
                log.warning("old answers could not be deleted: %s", error)
            except Exception:
                log.exception("old answers could not be deleted")
            if self._stop.wait(self._every_s):
                return

    def _delete(self) -> None:
        """Delete all that is old now, in small transactions."""
        now = time.time()
        if self._keep_s:
            self._all_before(self._store.delete_answers, int(now - self._keep_s))
        replay_s = min(self._replay_s, self._keep_s or self._replay_s)  # inputs are of no use without their answer
        self._all_before(self._store.delete_inputs, int(now - replay_s))
        self._store.trim_items(int(now - replay_s))

    def _all_before(self, delete: Callable[[int, int], int], before: int) -> None:
        while delete(before, AT_ONCE) == AT_ONCE:
            if self._stop.wait(PAUSE_S):
                return
