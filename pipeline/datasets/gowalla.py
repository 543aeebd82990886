"""Gowalla check-ins in the split of LightGCN.

The files have a line `user item item …` per user and no times. The timestamp is the position of the item in the user's
line, and positions in test continue those in train, so it orders events only within one split of one user. The column
`split` names the file of the row. No row is dropped: no user has the same item twice, in one file or in both.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from core import names
from core.errors import DataError
from pipeline.datasets.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT = "split"
TERMS = """\
Check-ins of the Gowalla network, collected through its public interface and published by the Stanford Network Analysis
Project; the ten-core subset and its split were published with LightGCN.
Cite: E. Cho, S. A. Myers and J. Leskovec. 2011. Friendship and Mobility: User Movement in Location-Based Social
Networks. KDD. And: X. He, K. Deng, X. Wang, Y. Li, Y. Zhang and M. Wang. 2020. LightGCN: Simplifying and Powering
Graph Convolution Network for Recommendation. SIGIR."""


def tables(train: Path, test: Path) -> "dict[str, pa.Table]":
    """Return the three tables from the two files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    train_users, train_lengths, train_events = _read(train)
    test_users, _, test_events = _read(test)
    # The positions of test continue those of train.
    before = train_lengths.take(pc.index_in(test_events[names.USER_ID], value_set=train_users)).fill_null(0)
    later = pc.add(test_events[names.TIMESTAMP], before)
    test_events = test_events.set_column(2, names.TIMESTAMP, later)
    parts = [
        events.append_column(SPLIT, pa.repeat(split, events.num_rows))
        for split, events in ((names.TRAIN, train_events), (names.TEST, test_events))
    ]
    interactions = pa.concat_tables(parts)
    users = pc.unique(pa.chunked_array([train_users, test_users]))
    return {
        names.INTERACTIONS: interactions,
        names.USERS: _in_order(names.USER_ID, users),
        names.ITEMS: _in_order(names.ITEM_ID, pc.unique(interactions[names.ITEM_ID])),
    }


def _read(path: Path) -> "tuple[pa.Array, pa.Array, pa.Table]":
    """Return the user of each line, its number of items, and one event per item. Raises: DataError."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    text = path.read_text(encoding="ascii")
    lines = pa.array([line.strip() for line in text.splitlines() if line.strip()], pa.string())
    if not pc.all(pc.match_substring_regex(lines, r"^\d+( \d+)*$")).as_py():
        raise DataError(
            str(path), "a line", "is not `user item item …` in numbers", "Give the files of LightGCN's Gowalla data"
        )
    fields = pc.split_pattern(lines, " ")
    users = pc.list_element(fields, 0)
    lengths = np.asarray(pc.list_value_length(fields), dtype=np.int64) - 1
    starts = np.cumsum(lengths + 1) - (lengths + 1)
    values = pc.list_flatten(fields)
    position = np.arange(len(values)) - np.repeat(starts, lengths + 1) - 1
    events = pa.table(
        {
            names.USER_ID: users.take(pa.array(np.repeat(np.arange(len(users)), lengths))),
            names.ITEM_ID: values.filter(pa.array(position >= 0)),
            names.TIMESTAMP: pa.array(position[position >= 0]),
        }
    )
    return users, pa.array(lengths), events


def _in_order(key: str, ids: "pa.Array") -> "pa.Table":
    """Return a table of ids in numerical order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.table({key: ids.take(pc.sort_indices(ids.cast(pa.int64())))})


RECIPE = Recipe(
    name="gowalla",
    columns="split (train, test) of interactions; no times or features. Needs --from FOLDER with train.txt, test.txt",
    terms=TERMS,
    short_terms="public check-ins; cite SNAP and LightGCN",
    files={
        "train.txt": "0f086326b28a56c2e6dcb81d86ee72d4ccb7eed3a8d26788392356d8f51111cc",
        "test.txt": "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
    },
    tables=tables,
    rows={names.INTERACTIONS: 1_027_370, names.USERS: 29_858, names.ITEMS: 40_981},
)
