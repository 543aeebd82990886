"""Pins, promotions, caps and own items: lists of a small engine beside what the rules say."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_engine import N, recommender

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


# ---- promotions ----


def test_a_promotion_has_its_share_of_every_part_of_the_list(using):
    values = np.arange(N)
    values[[1, 4]] = -1, -2  # of the kind y, and last by the ranker
    using.engine.ranker.values = values
    assert ids(listed(using, replace(PLAIN, k=6))) == ["i9", "i8", "i6", "i2", "i1", "i4"]
    answer = listed(using, replace(PLAIN, k=6, promotions=(of_kind("y", 0.5),)))
    assert ids(answer) == ["i9", "i1", "i8", "i4", "i6", "i2"]
    assert marks(answer) == [None, "promoted", None, "promoted", None, None]


def test_promoted_items_that_are_no_candidates_are_found_and_ranked_with_them(using):
    asked = replace(PLAIN, k=3, seen=True)
    assert ids(listed(using, asked)) == ["i9", "i8", "i6"]
    one = Promotion(filters=(Condition(column="item_id", any_of=("i10", "i11")),), share=0.34)
    assert ids(listed(using, replace(asked, promotions=(one,)))) == ["i11", "i10", "i9"]
    using.engine.ranker.values = -np.arange(N)
    answer = listed(using, replace(asked, promotions=(one,)))
    assert ids(answer) == ["i1", "i2", "i10"]
    assert [each.retrieval_rank for each in answer.items] == [1, 2, 7]


def test_a_promotion_obeys_the_conditions_of_the_request(using):
    horror = (Condition(column="genre", any_of=("horror",)),)
    asked = replace(PLAIN, k=6, filters=horror, promotions=(of_kind("x", 1.0),))
    answer = listed(using, asked)
    assert set(ids(answer)) == {"i1", "i9"}  # of horror: i3 has expired, i5 is the user's own, i7 hidden, i11 seen
    assert ids(answer) == ["i9", "i1"]


def test_promotions_with_close_deadlines_are_all_served(using):
    using.engine.ranker.values = -np.arange(N)
    asked = replace(PLAIN, k=6, user_id="other", promotions=(of_kind("z", 0.5), of_kind("y", 0.5)))
    found = [KINDS[int(each[1:])] for each in ids(listed(using, asked))]
    for length in range(1, 7):
        for kind in "yz":
            assert found[:length].count(kind) >= length // 2


def most(number, left, later, pins, promoted):
    """Return the largest numbers of promoted items until each later position, with `number` before and `left` left."""
    numbers = [number]
    for position in later:
        if position in pins:
            numbers.append(numbers[-1] + promoted[pins[position]])
        else:
            numbers.append(numbers[-1] + (left > 0))
            left -= 1
    return numbers


def naive(pins, promoted, share, order, horizon):
    """Return the list with one promotion: another item than the promoted only where the share is still reachable."""
    placed, rest = [], [row for row in order if row not in pins.values()]
    while rest or pins:
        position = len(placed) + 1
        if position in pins:
            placed.append(pins.pop(position))
            continue
        if not rest:
            placed.append(pins.pop(min(pins)))
            continue
        row, left, number = rest[0], sum(map(bool, promoted[rest])), sum(map(bool, promoted[placed]))
        best = next((each for each in rest if promoted[each]), None)
        if best is not None and not promoted[row]:
            later = range(position + 1, horizon + 1)
            other = most(number, left, later, pins, promoted)
            promote = most(number + 1, left - 1, later, pins, promoted)
            wanted = [math.floor(share * each + 1e-9) for each in range(position, horizon + 1)]
            if any(a < min(w, b) for a, b, w in zip(other, promote, wanted, strict=True)):
                row = best
        rest.remove(row)
        placed.append(row)
    return placed


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_one_promotion_with_pins_beside_a_naive_list(data):
    size = data.draw(st.integers(1, 14))
    order = data.draw(st.permutations(range(size)))
    promoted = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    pinned = data.draw(st.lists(st.sampled_from(range(size)), unique=True, max_size=4))
    places = data.draw(st.lists(st.integers(1, 16), unique=True, min_size=len(pinned), max_size=len(pinned)))
    share, pins = data.draw(st.sampled_from([0.1, 0.29, 1 / 3, 0.5, 0.75, 1.0])), dict(zip(places, pinned, strict=True))
    made = Arrangement(pins, [(share, promoted)], (), (), 16)
    made.add(order, order)
    made.complete()
    made.build(16)
    assert made.rows == naive(dict(pins), promoted, share, list(order), 16)
    parts = Arrangement(pins, [(share, promoted)], (), (), 16)
    parts.add(order, order)
    parts.complete()
    for length in range(1, 17):
        parts.build(length)
        assert parts.rows == made.rows[:length]


# ---- caps ----


def test_a_cap_leaves_items_out_and_others_are_found_for_them(using):
    asked = replace(PLAIN, k=6, user_id="other", seen=True)
    assert ids(listed(using, asked)) == ["i6", "i5", "i4", "i2", "i1", "i0"]  # the best candidates alone
    answer = listed(using, replace(asked, caps=(ListCap(column="brand", at_most=1),)))
    # b1 of i6, b0 of i5, no brand of i4, b2 of i2; then b3 of i8, whose brand no candidate has, and those without one.
    assert ids(answer) == ["i6", "i5", "i4", "i2", "i0", "i9"]
    one = replace(asked, caps=(ListCap(column="kind", at_most=1),))
    assert ids(listed(using, one)) == ["i6", "i5", "i4"]


def test_a_pin_counts_for_a_cap_before_its_position(using):
    asked = replace(PLAIN, k=3, user_id="other", caps=(ListCap(column="kind", at_most=1),))
    assert ids(listed(using, replace(asked, pinned=(Pin(item="i0", position=3),)))) == ["i8", "i4", "i0"]


def test_caps_of_the_release_stay_in_force(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    features = {"user": {}, "item": {"kind": "categorical"}}
    cap = {"caps": [{"column": "kind", "max_items": 1, "top_k": 3}]}
    using = recommender(tmp_path / "release", store, columns=COLUMNS, features=features, reranking=cap)
    assert ids(listed(using, replace(PLAIN, k=6))) == ["i5", "i4", "i3", "i2", "i1", "i0"]
    assert ids(listed(using, replace(PLAIN, k=4, pinned=(Pin(item="i8", position=2),)))) == ["i4", "i8", "i3", "i5"]
    assert ids(listed(using, replace(PLAIN, k=4, pinned=(Pin(item="i2"),)))) == ["i2", "i6", "i4", "i5"]
    many = (ListCap(column="genre", at_most=2),)
    assert ids(listed(using, replace(PLAIN, k=5, caps=many))) == ["i5", "i4", "i3", "i2"]
    store.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caps": (ListCap(column="colour", at_most=1),)}, "caps.0.column: the items have no column 'colour'"),
        (
            {"promotions": (of_kind("x", 0.1), Promotion(filters=(Condition(column="hue", any_of=("x",)),), share=1))},
            "promotions.1.filters: the items have no column 'hue'",
        ),
    ],
)
def test_a_rule_with_an_unknown_column_is_refused_alone(using, changes, message):
    found, other = using.recommend([replace(PLAIN, **changes), PLAIN])
    assert isinstance(found, UsageError)
    assert message in str(found)
    assert ids(other) == ["i9", "i8", "i6", "i4"]
    assert message in str(using.without_models(replace(PLAIN, **changes)))


# ---- own items ----


def test_own_items_are_recommended_to_others_alone_and_ranked_for_all(using):
    asked = replace(PLAIN, k=6, seen=True)
    assert not {"i0", "i5"} & set(ids(listed(using, asked)))
    assert {"i0", "i5"} <= set(ids(listed(using, replace(asked, user_id="other"))))
    assert "i4" not in ids(listed(using, replace(asked, user_id="new")))
    assert ids(listed(using, replace(asked, only=("i0", "i5", "i2")))) == ["i5", "i2", "i0"]
    late = replace(asked, k=N, until=0)
    assert not {"i0", "i5"} & set(ids(using.without_models(late)))
    assert using.explain(asked).own == 2


def test_rules_and_owners_hold_for_posted_items(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    using = recommender(tmp_path / "release", store, columns=COLUMNS, owner="owner", candidates=20)
    for item, owner in (("new1", "known"), ("new2", "other")):
        store.put_item(item, Item(features={"kind": "w", "owner": owner}))
    using.refresh()
    asked = replace(PLAIN, k=3, promotions=(of_kind("w", 0.5),), caps=(ListCap(column="kind", at_most=1),))
    assert ids(listed(using, asked)) == ["new2", "i9", "i8"]
    assert ids(listed(using, replace(asked, user_id="new"))) == ["new2", "i11", "i10"]
    assert ids(listed(using, replace(asked, user_id="other"))) == ["new1", "i11", "i10"]
    assert ids(listed(using, replace(asked, pinned=(Pin(item="new1", position=3),)))) == ["i9", "i8", "new1"]
    store.close()


# ---- degraded answers and explanations ----


def test_answers_without_models_have_pins_and_no_excluded_items(using):
    asked = replace(PLAIN, k=3, pinned=(Pin(item="i11", position=2), Pin(item=HIDDEN)), exclude=("i9",))
    answer = using.without_models(asked)
    assert (ids(answer), marks(answer)) == (["i8", "i11", "i6"], [None, "pinned", None])
    assert [each.score for each in answer.items] == [8, 11, 6]
    assert ids(using.without_models(replace(asked, k=2, offset=1))) == ["i11", "i6"]


def test_an_explanation_names_the_rule_of_each_item_of_the_list(using):
    using.engine.ranker.values = -np.arange(N)
    asked = replace(PLAIN, pinned=(Pin(item="i11", position=2),), promotions=(of_kind("z", 0.5),))
    found = {each.item: (each.position, each.rule) for each in using.explain(asked).candidates}
    assert {item: value for item, value in found.items() if value[0]} == {
        each.item: (position, each.rule) for position, each in enumerate(listed(using, asked).items, 1)
    }
    assert found["i11"] == (2, "pinned")
    assert found["i8"] == (None, None)  # it fulfils the promotion, and is not in the list
