"""Lists of random catalogues under random rules: what holds of each list, alone, in a batch and by pages."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_engine import USER_SEEN, N, recommender

from serving.conditions import Condition
from serving.requests import Request
from serving.rules import ListCap, Pin, Promotion
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Item

CANDIDATES = 6


def ids(answer):
    return [each.item for each in answer.items]


def of_kind(kind, share):
    return Promotion(filters=(Condition(column="kind", any_of=(kind,)),), share=share)


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory):
    """Return recommenders of random catalogues, with a release's cap in one of them, and their columns."""
    made, stores = [], []
    for seed in range(4):
        rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp(f"catalogue{seed}")
        columns = {
            "brand": [str(each) if each else None for each in rng.integers(0, 4, N)],
            "tags": pa.array([rng.choice(list("pqrs"), rng.integers(0, 4)).tolist() for _ in range(N)], TAGS_TYPE),
            "kind": rng.choice(list("xyz"), N).tolist(),
            "owner": rng.choice(["known", "new", "a", "b"], N).tolist(),
        }
        stores.append(SqlStore(sqlite_url(folder / "store.sqlite")))
        for row in rng.choice(N, seed, replace=False):
            stores[-1].put_item(f"i{row}", Item(hidden=True))
        settings = {"features": {"user": {}, "item": {"brand": "categorical"}}, "owner": "owner"}
        if seed == 3:
            settings["reranking"] = {"caps": [{"column": "brand", "max_items": 2, "top_k": 4}]}
        using = recommender(folder / "release", stores[-1], columns=columns, candidates=CANDIDATES, **settings)
        using.engine.ranker.values = rng.permutation(N)
        table = using.engine.catalogue.table
        made.append((using, {f"i{row}": each for row, each in enumerate(table.to_pylist())}))
    yield made
    for each in stores:
        each.close()


TAGS_TYPE = pa.list_(pa.string())
NAMES = [f"i{row}" for row in range(N)]


@st.composite
def requests(draw):
    items = draw(st.lists(st.sampled_from([*NAMES, "unknown"]), unique=True, max_size=4))
    places = draw(st.lists(st.integers(1, 8), unique=True, min_size=len(items), max_size=len(items)))
    pinned = [
        Pin(item=item, position=draw(st.sampled_from([None, at]))) for item, at in zip(items, places, strict=True)
    ]
    kinds = draw(st.lists(st.sampled_from("xyz"), unique=True, max_size=2))
    shares = [draw(st.sampled_from([0.1, 0.25, 0.5])) for _ in kinds]
    caps = draw(st.lists(st.sampled_from(["brand", "tags"]), unique=True, max_size=2))
    filters = draw(st.sampled_from([(), (Condition(column="brand", none_of=("1",)),)]))
    excluded = tuple(draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8)))
    return Request(
        draw(st.sampled_from(["known", "new", "other"])), CANDIDATES, 100, exclude=excluded, filters=filters,
        seen=draw(st.booleans()), pinned=tuple(pinned),
        promotions=tuple(map(of_kind, kinds, shares)),
        caps=tuple(ListCap(column=column, at_most=draw(st.integers(1, 2))) for column in caps),
    )  # fmt: skip


def values_of(item, column):
    value = item[column]
    return [] if value is None else sorted(set(value)) if isinstance(value, list) else [value]


def shown(using, items, request):
    """Return the items that the models may return, and those that may be pinned."""
    hidden = {f"i{row}" for row in using.items.hidden.rows(100)} | set(request.exclude)
    seen = USER_SEEN if request.user_id == "known" and not request.seen else []
    fitting = {
        name
        for name, item in items.items()
        if name not in hidden
        and name not in seen
        and item["owner"] != request.user_id
        and not (request.filters and item["brand"] == "1")
    }
    pins = [each for each in request.pinned if each.item in items and each.item not in hidden]
    return fitting - {each.item for each in pins}, pins


@given(st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_list_obeys_the_rules_of_its_own_request(catalogues, data):
    using, items = data.draw(st.sampled_from(catalogues))
    asked = data.draw(st.lists(requests(), min_size=1, max_size=3))
    whole = [ids(each) for each in using.recommend(asked)]
    for request, found in zip(asked, whole, strict=True):
        fitting, pins = shown(using, items, request)
        assert len(set(found)) == len(found)
        assert set(found) <= fitting | {each.item for each in pins}
        check_caps(found, check_pins(found, pins), request, pins, fitting, items)
        check_promotions(found, request, pins, fitting, items)
        check_the_same_elsewhere(using, request, found)


def check_pins(found, pins):
    """Check that pins have their positions, and return whether they follow the last of the other items."""
    taken = {each.position: each.item for each in pins if each.position}
    for each in pins:
        if not each.position:
            taken[next(at for at in range(1, 99) if at not in taken)] = each.item
    others, expected, ended = [each for each in found if each not in taken.values()], [], False
    for at in range(1, len(found) + 1):
        ended |= at not in taken and not others
        expected.append(taken.pop(min(taken) if ended else at) if ended or at in taken else others.pop(0))
    assert found == expected
    assert len(found) == CANDIDATES or not taken
    return ended or len(found) < CANDIDATES


def check_caps(found, ended, request, pins, fitting, items):
    """Check that no value is in the list too often, and that a list that ended could have no further item."""

    def counts(names, column):
        return Counter(value for name in names for value in values_of(items[name], column))

    allowed = {}
    for cap in request.caps:
        of_pins = counts([each.item for each in pins], cap.column)
        listed = counts(found, cap.column)
        assert all(number <= max(cap.at_most, of_pins[value]) for value, number in listed.items())
        full = {
            value
            for value, number in (counts({*found, *[p.item for p in pins]}, cap.column)).items()
            if number >= cap.at_most
        }
        allowed[cap.column] = full
    if ended:
        for name in fitting - set(found):
            assert any(set(values_of(items[name], column)) & full for column, full in allowed.items())


def check_promotions(found, request, pins, fitting, items):
    """Check the shares of lists without pins and caps, in which other rules leave promotions room."""
    if request.pinned or request.caps:
        return
    for each in request.promotions:
        [kind] = each.filters[0].any_of
        available = sum(items[name]["kind"] == kind for name in fitting)
        for length in range(1, len(found) + 1):
            number = sum(items[name]["kind"] == kind for name in found[:length])
            assert number >= min(math.floor(each.share * length), available)


def check_the_same_elsewhere(using, request, found):
    """Check that the list is the same alone, by pages, and in an explanation."""
    cuts = replace(request, k=2), replace(request, k=3, offset=2), replace(request, k=1, offset=5)
    assert [item for each in using.recommend(cuts) for item in ids(each)] == found
    positions = {each.position: each.item for each in using.explain(request).candidates if each.position}
    assert [positions[at] for at in sorted(positions)] == found


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_lists_without_the_ranker_obey_the_rules_too(catalogues, data):
    using, items = data.draw(st.sampled_from(catalogues))
    request = data.draw(requests())
    fitting, pins = shown(using, items, request)
    [late] = using.recommend([replace(request, until=0)])
    assert late.degraded == "retrieval_order"
    found = ids(late)
    assert set(found) <= fitting | {each.item for each in pins}
    check_pins(found, pins)
    assert len(set(found)) == len(found)
    popular = ids(using.without_models(request))
    assert len(set(popular)) == len(popular) == min(CANDIDATES, len(fitting) + len(pins))
    assert set(popular) <= fitting | {each.item for each in pins}
    check_pins(popular, pins)
