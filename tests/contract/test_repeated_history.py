"""Models of a 0/1 user–item matrix: an item that occurs twice in a history counts once."""

import numpy as np
import pyarrow as pa
import pytest

from core import names
from transform import raw

REPEATED = [["i1", "i2", "i1", "i1"], ["i4", "i4"], ["i3", "i0", "i5", "i0"]]
DISTINCT = [["i2", "i1"], ["i4"], ["i3", "i5", "i0"]]


def scores(world, name, history, exclude, k=40):
    """Return item → score of each query, from the SavedModel."""
    query = {key: value[:3] for key, value in world.query().items()}
    query[names.HISTORY] = raw.pad_strings(pa.array(history, pa.list_(pa.string())))
    inputs = {**query, names.EXCLUDE: np.array([exclude] * 3, object), names.K: np.int32(k)}
    retrieve = world.loaded("retrieval", name).signatures["retrieve"]
    answer = retrieve(**inputs)
    ids, found = answer[names.ITEM_ID].astype("U"), answer[names.SCORE]
    return [dict(zip(*row, strict=True)) for row in zip(ids, found, strict=True)]


@pytest.mark.parametrize(("exclude", "k"), [([""], 40), (["i2", "i7"], 40), (["i2"], 5)])
@pytest.mark.parametrize("name", ["ease", "slim", "graph_filter"])
def test_a_repeated_item_counts_once(world, name, exclude, k):
    once, again = (scores(world, name, history, exclude, k) for history in (DISTINCT, REPEATED))
    for expected, found in zip(once, again, strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_item_knn_counts_every_event_of_a_history(world):
    once, again = (scores(world, "item_knn", history, [""]) for history in (DISTINCT, REPEATED))
    assert max(again[1].values()) == pytest.approx(2 * max(once[1].values()), rel=1e-4)
