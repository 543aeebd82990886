"""The deletion of old logged answers."""

import logging
import threading
import time

from core.errors import TwostepError
from serving.stores.store import Store

DAY_S = 86_400
EVERY_S = 600  # the time between two looks for old answers
AT_ONCE = 1000  # the number of answers that one transaction deletes
PAUSE_S = 0.1  # the time between two transactions, in which events are written

log = logging.getLogger("twostep.serve")


class Retention:
    """A thread that deletes answers of a store when they are old.

    Args:
      store: the store.
      keep_days: the days after which an answer is deleted; 0 to keep all.
      every_s: the time between two looks.
    """

    def __init__(self, store: Store, keep_days: float, every_s: float = EVERY_S):
        self._store, self._keep_s, self._every_s = store, keep_days * DAY_S, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if keep_days:
            self._thread.start()

    def close(self) -> None:
        """End the thread, after the transaction that it is in."""
        self._stop.set()
        if self._thread.ident is not None:
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
        """Delete all answers that are old now, in small transactions."""
        before = int(time.time() - self._keep_s)
        while self._store.delete_answers(before, AT_ONCE) == AT_ONCE:
            if self._stop.wait(PAUSE_S):
                return
