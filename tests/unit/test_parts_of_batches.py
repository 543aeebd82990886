"""The parts of a batch of the two-tower, one for each replica."""

import numpy as np
import pytest

from core import names
from trainer.distribution.parts import slices
from trainer.retrieval.two_tower.batches import Batches, Sampling, divided
from trainer.retrieval.two_tower.chunks import HistoryKind, Sequences

EVENTS, USERS, ITEMS = 300, 20, 30


def batch(causal: bool = True, pool: int = 0, size: int = 64) -> dict:
    random = np.random.default_rng(3)
    users, items = random.integers(0, USERS, EVENTS), random.integers(0, ITEMS, EVENTS).astype(np.int32)
    sequences = Sequences(users, items, np.arange(EVENTS), HistoryKind(causal, True, 6, size))
    sizes = {names.USER_ID: USERS + 3, names.ITEM_ID: ITEMS + 3}
    sampling = Sampling(size, 16, 5, pool, False, 0.2, 2)
    item_columns = {names.ITEM_ID: np.arange(ITEMS) + 1, "year": random.random((ITEMS, 1))}
    made = Batches({names.USER_ID: users + 1}, item_columns, items, sequences, sizes, sampling, 5)
    return next(iter(made))


def described(part: dict) -> list[tuple]:
    """Return what the loss of each event depends on: user, history, item, and negatives that are not excluded."""
    excluded = {tuple(pair) for pair in part["excluded"].tolist()}
    ids, expected = part["candidate"][names.ITEM_ID], part["log_expected"]
    years = part["candidate"]["year"][:, 0]
    events = []
    for event, row in enumerate(part["row"]):
        history = part["query"][names.HISTORY][row, part["first"][event] : part["last"][event]]
        own = part["own"][event] if "own" in part else None
        negatives = [
            (ids[each], expected[each], years[each])
            for number, each in enumerate(part["negative"])
            if (event, number) not in excluded
        ]
        item = ids[event], expected[event], years[event]
        events.append((part["query"][names.USER_ID][event], tuple(history), own, item, tuple(negatives)))
    return events


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
@pytest.mark.parametrize("causal", [True, False])
def test_the_parts_have_the_events_of_the_batch_with_all_its_negatives(parts, causal):
    whole = batch(causal)
    divisions = divided(whole, parts)
    assert len(divisions) == parts
    assert [event for part in divisions for event in described(part)] == described(whole)


def test_a_part_reads_only_the_histories_of_its_events():
    whole = batch()
    rows = [len(part["query"][names.HISTORY]) for part in divided(whole, 4)]
    assert max(rows) < len(whole["query"][names.HISTORY])


def test_each_part_has_the_pool_and_the_pairs_of_its_events():
    whole = batch(pool=10)
    found, before = [], 0
    for part in divided(whole, 3):
        assert part["pool"] is whole["pool"]
        found += (part["pool_excluded"] + [before, 0]).tolist()
        before += len(part["row"])
    assert len(found) > 0
    assert found == whole["pool_excluded"].tolist()


def test_more_parts_than_events_leave_some_empty():
    assert [part.stop - part.start for part in slices(2, 4)] == [0, 1, 0, 1]
    whole = batch(size=4)
    assert sum(len(part["row"]) for part in divided(whole, 50)) == len(whole["row"])
