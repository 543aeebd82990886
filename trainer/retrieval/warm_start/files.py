"""What a run leaves for the warm start of the next one, in the SavedModel of the released model."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from core.arrow import read_arrow, write_arrow
from trainer.retrieval.warm_start.base import VARIABLES, Base
from trainer.retrieval.warm_start.known import last_events, later
from trainer.retrieval.warm_start.rows import Vocabularies
from transform import vocabularies
from transform.features import Features
from transform.names import index_outputs

EARLY, RELEASED = "early", "released"
FOLDER = "assets.extra/warm_start"  # TensorFlow and its servers leave `assets.extra` of a SavedModel alone


@dataclass(frozen=True)
class Start:
    """The beginning of both fits: both are warm or both are cold, since one chooses the number of epochs of the other.

    Args:
      bases: `EARLY` and `RELEASED` → the weights that the fit begins with; empty for a cold start.
      known: the same → the result of `last_events` for the events that these weights were fitted on.
      reason: why the start is cold; "" for a warm one.
    """

    bases: Mapping[str, Base]
    known: Mapping[str, pa.Table]
    reason: str = ""


def read(
    folder: Path,
    features: Features,
    now: Mapping[str, list[bytes]],
    given: Mapping[str, pa.Table],
    of_each_user: bool,
) -> Start:
    """Return the beginning of both fits.

    Args:
      folder: the SavedModel of the release in force; missing without one.
      features: the feature configuration.
      now: name of a vocabulary → the values of this run.
      given: `EARLY` and `RELEASED` → the result of `last_events` for the events that the fit is given.
      of_each_user: see `later`.
    """
    if not folder.is_dir():
        return Start({}, {}, "there is no release to begin with")
    if not (folder / FOLDER).is_dir():
        return Start({}, {}, "the release in force was made without `retrieval.warm_start`")
    known = {fit: read_arrow(folder / FOLDER / f"{fit}.arrow") for fit in given}
    for fit, own in given.items():
        if users := later(known[fit], own, of_each_user):
            return Start(
                {}, {}, f"the {fit} model of the release in force knows events of {users:,} users that are later than "
                "those of this fit, so it may have been fitted on events of eval or test"
            )  # fmt: skip
    before = vocabularies.read(folder, features)
    both = {
        each.column: Vocabularies(before.get(each.vocabulary or "", ()), now.get(each.vocabulary or "", ()))
        for each in index_outputs(features)
    }
    places = {EARLY: folder / FOLDER / EARLY, RELEASED: folder / VARIABLES}
    return Start({fit: Base.read(place, both) for fit, place in places.items()}, known)


def write(folder: Path, early: Path, start: Start, given: Mapping[str, pa.Table]) -> None:
    """Write what the next run needs for a warm start.

    Args:
      folder: the SavedModel of the released model.
      early: that of the early model.
      start: the beginning of both fits.
      given: as for `read`.
    """
    target = folder / FOLDER
    shutil.copytree(early / VARIABLES, target / EARLY)
    for fit, own in given.items():
        earlier = [start.known[fit]] if fit in start.known else []
        write_arrow(last_events(own, *earlier), target / f"{fit}.arrow")
