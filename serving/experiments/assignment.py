"""The arm of a user, fixed by the name of the experiment and the id of the user, in every process."""

import hashlib
from collections.abc import Sequence

import numpy as np

_BITS = 53  # a float holds an integer of so many bits exactly


def position(experiment: str, user_id: str) -> float:
    """Return a number from 0, included, to 1, excluded: a SHA-256 of the experiment's name and the user's id.

    The numbers of users are uniform, and those of two experiments independent.
    """
    text = f"{experiment}\0{user_id}".encode("utf-8", "surrogatepass")  # neither part holds NUL
    return (int.from_bytes(hashlib.sha256(text).digest()[:8]) >> (64 - _BITS)) / 2**_BITS


def arm(experiment: str, user_id: str, shares: Sequence[float]) -> int:
    """Return the number of a user's arm, from 0.

    Args:
      experiment: the name of the experiment.
      user_id: the user.
      shares: the share of each arm; their sum is 1.
    """
    return int(np.searchsorted(np.cumsum(shares)[:-1], position(experiment, user_id), side="right"))
