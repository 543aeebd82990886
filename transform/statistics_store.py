"""The statistics that the transform graph needs: computed and stored by the analysis, read when the graph is traced.

The functions of `transform.graph` get a statistic from `current()`. In the analysis this is a `Computed`, and the
functions run eagerly on the columns of users or items; later it is a `Stored`, which returns the same statistics.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.files import read_json, write_json
from transform import statistics

if TYPE_CHECKING:
    import tensorflow as tf

_NUMBERS_FILE = "numbers.json"


class Stored:
    """The statistics in a folder: a file for each vocabulary, and a file of all numbers.

    Args:
      folder: the folder that a `Computed` wrote.
    """

    def __init__(self, folder: Path):
        self.folder, self.feature = folder, ""  # the feature that is being transformed
        self._numbers: dict[str, list[float]] = read_json(folder / _NUMBERS_FILE)
        self._calls: Counter[str] = Counter()

    def vocabulary(self, name: str, column: "tf.SparseTensor", min_count: int, most: int | None) -> Path:
        """Return the file of a vocabulary, see `statistics.vocabulary`."""
        return self.folder / name

    def numbers(self, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return what `compute` returned in the analysis at the same call for the same feature."""
        return np.array(self._numbers[self._next_key()])

    def _next_key(self) -> str:
        """Return the feature and the number of its call of `numbers`."""
        self._calls[self.feature] += 1
        return f"{self.feature}.{self._calls[self.feature]}"


class Computed(Stored):
    """The statistics of the columns of a table, which are written to a folder.

    Args:
      folder: the folder; it exists.
      earlier: name of a vocabulary → the values of an earlier one, which the new one begins with.
    """

    def __init__(self, folder: Path, earlier: Mapping[str, Sequence[bytes]] | None = None):
        write_json(folder / _NUMBERS_FILE, {})
        super().__init__(folder)
        self.earlier = earlier or {}
        self.weights = np.zeros(0, np.int64)  # the number of events of each row of the columns

    def vocabulary(self, name, column, min_count, most):
        weights = self.weights[column.indices[:, 0].numpy()]
        found = statistics.vocabulary(column.values.numpy(), weights, min_count, most)
        found = statistics.grown(found, self.earlier.get(name, ()))
        lines = found or [statistics.NO_VALUE]  # TensorFlow has no empty lookup tables
        (self.folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
        return self.folder / name

    def numbers(self, compute):
        """Return `compute(weights)`, and store it."""
        found = compute(self.weights)
        self._numbers[self._next_key()] = found.tolist()
        return found

    def write(self) -> None:
        """Write the file of all numbers."""
        write_json(self.folder / _NUMBERS_FILE, self._numbers)


_current: ContextVar[Stored] = ContextVar("statistics")


def current() -> Stored:
    """Return the statistics in use."""
    return _current.get()


@contextlib.contextmanager
def used(source: Stored) -> Iterator[None]:
    """Use the statistics of `source` in the block."""
    token = _current.set(source)
    try:
        yield
    finally:
        _current.reset(token)
