"""An estimate of how long a step takes."""

import time

SHARE = 0.2  # of a new time in the mean
HALF_LIFE_S = 10  # after which a mean without new times is halved, so that a step that was slow is tried again


class Estimate:
    """An exponential mean of the seconds of a step, by the size of its batch in powers of two; for one thread.

    The first time of a size is not counted, since a model initialises itself then.
    """

    def __init__(self) -> None:
        self._means: dict[int, tuple[float, float] | None] = {}  # size → the mean, and when it was measured last

    def seconds(self, queries: int) -> float:
        """Return the estimated seconds of a batch; 0 for one whose size was not measured yet."""
        found = self._means.get(queries.bit_length())
        if found is None:
            return 0.0
        mean, at = found
        return mean * 0.5 ** ((time.monotonic() - at) / HALF_LIFE_S)

    def measured(self, queries: int, seconds: float) -> None:
        """Count the seconds that a batch took."""
        size = queries.bit_length()
        if size not in self._means:
            self._means[size] = None
            return
        found = self._means[size]
        mean = seconds if found is None else found[0] + SHARE * (seconds - found[0])
        self._means[size] = mean, time.monotonic()
