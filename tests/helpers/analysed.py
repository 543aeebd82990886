"""The transform graph of given tables, made as in the pipeline."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
from pathlib import Path

import pyarrow as pa
import pytest

from core import locks, names
from core.arrow import write_arrow
from core.events import write_events
from core.examples import shard_path, write_examples
from transform import analysis
from transform.features import Features


def transformed(
    factory: pytest.TempPathFactory,
    parts: dict[str, pa.Table],
    users: pa.Table,
    items: pa.Table,
    features: Features,
) -> tuple[Path, Path]:
    """Return the folder of the events and that of their transform graph; the first worker of pytest makes both."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "transformed"
    shared.mkdir(exist_ok=True)
    uri, done = shared / "events", shared / "done"
    with locks.exclusive(shared / "lock"):
        if not done.exists():
            for name, part in parts.items():
                write_examples(part, shard_path(str(uri), name, 0, 1))
                write_events(part, uri, name, "all")
            write_arrow(items, uri / names.CATALOGUE_FILE)
            events = pa.concat_tables([parts[names.TRAIN], parts[names.EVAL]])
            known = (
                analysis.with_event_counts(table, key, events[key])
                for key, table in ((names.USER_ID, users), (names.ITEM_ID, items))
            )
            analysis.write_graph(features, *known, shared / "transform")
            done.touch()
    return uri, shared / "transform"
