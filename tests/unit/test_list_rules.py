"""Pins, promotions, caps and own items: lists of a small engine beside what the rules say."""

import math
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_engine import N, USER_SEEN, recommender

from core.errors import UsageError
from serving.arrangement import Arrangement
from serving.conditions import Condition
from serving.requests import Request
from serving.rules import ListCap, Pin, Promotion
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Item

CANDIDATES = 6
BRANDS = [f"b{row % 5}" if row % 4 else None for row in range(N)]
TAGS = [[f"t{row % 3}", f"t{row % 4}"] if row % 6 else [] for row in range(N)]
KINDS = ["x", "y", "z"] * (N // 3)
OWNERS = ["known" if row in (0, 5) else "new" if row == 4 else None for row in range(N)]
COLUMNS = {"brand": BRANDS, "tags": pa.array(TAGS, pa.list_(pa.string())), "kind": KINDS, "owner": OWNERS}
VALUES = {"brand": [[each] if each else [] for each in BRANDS], "tags": [sorted(set(each)) for each in TAGS]}
HIDDEN, EXPIRED = "i7", "i3"
PLAIN = Request("known", 4, 100)


@pytest.fixture(scope="module")
def using(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    store = SqlStore(sqlite_url(folder / "store.sqlite"))
    store.put_item(HIDDEN, Item(hidden=True))
    store.put_item(EXPIRED, Item(expires=50))
    yield recommender(folder / "release", store, columns=COLUMNS, owner="owner", candidates=CANDIDATES)
    store.close()


@pytest.fixture(autouse=True)
def order(using):
    using.engine.ranker.values = np.arange(N)


def ids(answer):
    return [each.item for each in answer.items]


def marks(answer):
    return [each.rule for each in answer.items]


def listed(using, request):
    [answer] = using.recommend([request])
    if isinstance(answer, Exception):
        raise answer
    return answer


def of_kind(kind, share):
    return Promotion(filters=(Condition(column="kind", any_of=(kind,)),), share=share)


# ---- pins ----


def test_pins_stand_at_their_positions_whatever_filters_and_seen_items_say(using):
    assert ids(listed(using, PLAIN)) == ["i9", "i8", "i6", "i4"]
    drama = (Condition(column="genre", any_of=("drama",)),)
    asked = replace(PLAIN, filters=drama, pinned=(Pin(item="i1"), Pin(item="i11", position=3), Pin(item="i0")))
    answer = listed(using, asked)
    assert ids(answer) == ["i1", "i0", "i11", "i8"]  # of another genre, the user's own, and a seen one
    assert marks(answer) == ["pinned", "pinned", "pinned", None]
    assert [each.score for each in answer.items] == [1, 0, 11, 8]
    assert [each.probability for each in answer.items] == [0.25] * 4


def test_a_pin_that_may_not_be_shown_leaves_its_position_to_others(using):
    pinned = (Pin(item=HIDDEN), Pin(item=EXPIRED, position=2), Pin(item="nothing", position=1), Pin(item="i2"))
    answer = listed(using, replace(PLAIN, pinned=(*pinned, Pin(item="i1", position=4)), exclude=("i1",)))
    assert ids(answer) == ["i2", "i9", "i8", "i6"]


def test_pins_beyond_the_end_of_the_list_follow_it(using):
    asked = replace(PLAIN, k=6, exclude=tuple(f"i{row}" for row in (1, 2, 4, 6)), pinned=(Pin(item="i1", position=9),))
    asked = replace(asked, pinned=(Pin(item="i11", position=6), Pin(item="i10", position=5)))
    assert ids(listed(using, asked)) == ["i9", "i8", "i10", "i11"]


def test_pins_leave_other_items_as_many_candidates(using):
    pinned = tuple(Pin(item=f"i{row}") for row in (1, 2, 4))
    assert ids(listed(using, replace(PLAIN, k=6, pinned=pinned))) == ["i1", "i2", "i4", "i9", "i8", "i6"]
