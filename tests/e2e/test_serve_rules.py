"""The rules of a request, and own items, over HTTP."""

from collections import Counter

import pytest
from serving_process import serving

from core import names
from core.arrow import read_arrow
from core.release import reader
from serving.client import ServerError
from serving.users import ReleaseUsers


@pytest.fixture(scope="module")
def client(releases):
    with (
        serving(releases, "--store", f"sqlite:{releases.parent / 'store.sqlite'}") as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def release(releases):
    return reader.resolve(releases)


@pytest.fixture(scope="module")
def items(release):
    """Return the items of the release by id."""
    return {each[names.ITEM_ID]: each for each in read_arrow(release / names.CATALOGUE_FILE).to_pylist()}


def ids(answer):
    return [each.item for each in answer.items]


RULES = {
    "promotions": [{"filters": [{"column": "genres", "any_of": ["Western", "War"]}], "share": 0.4}],
    "caps": [{"column": "genres", "at_most": 8}],
}


def test_rules_of_a_request(client, release, items):
    genres = {item: each["genres"] for item, each in items.items()}
    stored = ReleaseUsers(release / names.USERS_FOLDER)
    users = stored.first(3)
    seen = stored.get(users[1]).seen[0]
    last = ids(client.recommend(users[1], 50))[-1]
    asked = {"user": users[1], "pinned": [{"item": seen}, {"item": last, "position": 5}, {"item": "none"}], **RULES}
    answer = client.recommend(k=20, **asked)
    found = ids(answer)
    assert len(set(found)) == 20
    assert (found[0], found[4]) == (seen, last)
    assert [place for place, each in enumerate(answer.items) if each.rule == "pinned"] == [0, 4]
    promoted = [bool({"Western", "War"} & set(genres[item] or ())) for item in found]
    assert all(sum(promoted[:length]) >= int(0.4 * length + 1e-9) for length in range(2, 21))
    assert [each.rule == "promoted" for each in answer.items] == [
        value and place not in (0, 4) for place, value in enumerate(promoted)
    ]
    counts = Counter(genre for item in found for genre in genres[item] or ())
    assert max(counts.values()) <= 8
    pages = client.recommend_batch([asked | {"k": 8}, {"user": users[2], "k": 5}, asked | {"k": 12, "offset": 8}])
    assert ids(pages[0]) + ids(pages[2]) == found
    assert ids(pages[1]) == ids(client.recommend(users[2], 5))
    made = sorted(
        (each for each in client.explain(k=20, **asked).candidates if each.position), key=lambda e: e.position
    )
    assert [(each.item, each.rule) for each in made] == [(each.item, each.rule) for each in answer.items]


def test_a_user_gets_no_own_items(client, items):
    own = ids(client.recommend("nobody knows me", 3))[1]
    owner = items[own]["title"]  # the column of the owners is that of the titles
    this = [{"column": "item_id", "any_of": [own]}]
    assert ids(client.recommend("nobody knows me", 1, filters=this)) == [own]
    assert ids(client.recommend(owner, 1, filters=this)) == []
    assert len(ids(client.recommend(owner, 50))) == 50
    assert client.explain(owner, 3).own == 1
    assert ids(client.rank(owner, [own])) == [own]
    late = client.recommend(owner, 1, filters=this, budget_ms=0.001)
    assert (late.degraded, ids(late)) == ("popular", [])


def test_a_filter_reads_the_posted_value_of_an_item_of_the_release(client, items):
    [item] = ids(client.recommend("of posted values", 1))
    old = [{"column": "year", "at_most": 1850}]
    assert ids(client.recommend("of posted values", 5, filters=old)) == []
    client.put_item(item, features={"year": 1850})
    answer = client.recommend("of posted values", 5, filters=old)
    assert ids(answer) == [item]
    known = client.item(item)
    assert (known["features"]["year"], known["posted"]) == (1850, False)
    assert known["features"]["title"] == items[item]["title"]
    client.delete_item(item)
    assert ids(client.recommend("of posted values", 5, filters=old)) == []
    assert client.replay(answer.request_id)["equal"]


@pytest.mark.parametrize(
    ("rule", "detail"),
    [
        ({"pinned": [{"item": "a", "position": 0}]}, "body.pinned.0.position"),
        ({"pinned": [{"item": "a"}, {"item": "a"}]}, "body.pinned: "),
        ({"caps": [{"column": "colour", "at_most": 1}]}, "caps.0.column: the items have no column 'colour'"),
        (
            {"promotions": [{"filters": [{"column": "colour", "any_of": ["x"]}], "share": 0.5}]},
            "promotions.0.filters: the items have no column 'colour'",
        ),
        (
            {"promotions": [{"filters": [{"column": "year", "at_least": 1}], "share": 0.6}] * 2},
            "body.promotions: ",
        ),
    ],
)
def test_a_wrong_rule_is_named(client, rule, detail):
    with pytest.raises(ServerError) as error:
        client.recommend("u", **rule)
    assert error.value.status == 422
    assert detail in error.value.problem.detail
