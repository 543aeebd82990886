"""The page of the server in a real browser. The pictures are in the folder of the test."""

import time

import httpx
import pytest
import shop
from browser import browsing
from object_servers import engines
from serving_process import published, serving

from serving.client import Client

LIST = "[...document.querySelectorAll('#list tbody tr td:nth-child(2) .id')].map(each => each.textContent)"
DONE = "document.getElementById('message').textContent.includes(' items in ')"
TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Return the configuration of a shop with a release, in which seen items are not recommended again."""
    folder = tmp_path_factory.mktemp("page")
    shop.make(folder)
    file = shop.config(
        folder,
        "shop",
        retrieval={"model": "fusion", "candidates": 20, "params": {"models": {"item_knn": {}, "popularity": {}}}},
        evaluation={"rules": []},
    )
    file.write_text(file.read_text().replace("exclude_seen: false", "exclude_seen: true"))
    shop.call("run", file)
    return file


@pytest.fixture(scope="module")
def server(config):
    with serving(config) as server:
        yield server


@pytest.fixture
def page(server):
    """Return the page of a user, without errors and without requests to others until the end of the test."""
    with browsing(engines().chromium()) as page:
        page.size(1200, 1000)
        page.open(f"{server.url}/#user=c7")
        page.until(DONE)
        yield page
        assert page.errors == []
        assert all(url.startswith((server.url, "data:")) for url in page.requested), page.requested


def items(page):
    return page.value(LIST)


def test_the_page_shows_the_list_the_history_and_the_candidates(page, server, tmp_path):
    with server.client() as client:
        assert items(page) == [each.item for each in client.recommend("c7").items]
        assert page.value("document.querySelectorAll('#history li').length") == len(client.user("c7")["history"])
        candidates = client.explain("c7").candidates
    assert page.value("document.querySelectorAll('#candidates tbody tr').length") == len(candidates)
    assert page.value("document.querySelectorAll('#candidates tr.listed').length") == 10
    heads = page.value("[...document.querySelectorAll('#candidates th')].map(each => each.textContent)")
    assert {"item_knn", "popularity"} <= set(heads)
    page.picture(tmp_path / "page.png")


def test_an_event_changes_the_next_list(page):
    before = items(page)
    title = page.value("document.querySelector('#list tbody td:nth-child(2)').firstChild.textContent")
    page.value("document.querySelector('#list button').click()")
    page.until(f"!({LIST}).includes({before[0]!r})")
    newest = page.value("document.querySelector('#history li').textContent")
    assert newest.startswith(title)


def test_a_filter_and_another_user_by_the_keyboard_alone(page, server):
    page.value("document.getElementById('user').focus(), document.getElementById('user').select()")
    page.write("nobody new")
    page.press("Tab", 9)
    page.press("Tab", 9)
    for _ in range(3):
        page.press("ArrowDown", 40)
    assert page.value("document.getElementById('column').value") == "category"
    page.press("Tab", 9)
    page.write("tea, wine")
    page.press("Enter", 13, "\r")
    page.until("document.getElementById('message').textContent.startsWith('This user is new')")
    found = page.value("[...document.querySelectorAll('#list tbody tr td:nth-child(2)')].map(each => each.textContent)")
    assert len(found) == 10
    assert all(each.startswith(("tea", "wine")) for each in found)
    assert page.value("location.hash") == "#user=nobody%20new"


def test_a_range_of_numbers_is_a_filter(page, server):
    page.value("document.getElementById('column').value = 'price', document.getElementById('values').value = '2..4'")
    page.value("document.querySelector('form button').click()")
    page.until("document.getElementById('counts').textContent.includes(' 0 that do not') == false")
    with server.client() as client:
        prices = [client.item(item)["features"]["price"] for item in items(page)]
    assert prices
    assert all(2 <= price <= 4 for price in prices)


def test_an_error_of_the_server_is_told(page):
    page.value("document.getElementById('k').value = 900")
    page.value("document.querySelector('form button').click()")
    page.until("document.getElementById('message').className == 'error'")
    assert "offset + k should be at most 20" in page.value("document.getElementById('message').textContent")
    page.errors.clear()  # the browser reports the status 422 as an error of the network


def test_a_phone_needs_no_scrolling_to_the_side(page, tmp_path):
    page.size(390, 800)
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.picture(tmp_path / "phone.png")


def opened(page, view, seen):
    page.value(f"document.querySelector('nav [data-view={view}]').click()")
    page.until(seen)


def test_the_lineage_marks_what_a_box_read(page, server, tmp_path):
    opened(page, "lineage", "document.querySelectorAll('#lineage .box').length > 0")
    lineage = httpx.get(f"{server.url}/v1/lineage").json()
    titles = page.value("[...document.querySelectorAll('#lineage .box strong')].map(each => each.textContent)")
    assert {each["node"] for each in lineage["executions"]} <= set(titles)
    assert titles[-1] == "release"
    page.value("document.querySelector('#lineage li:last-child .box').click()")
    read = page.value("[...document.querySelectorAll('#lineage .box.read strong')].map(each => each.textContent)")
    assert "RetrievalTrainer" in read
    assert page.value("document.querySelectorAll('#metrics tbody tr').length") > 0
    page.size(390, 800)
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.picture(tmp_path / "lineage.png")


def test_the_last_hour_is_shown(page, server, tmp_path):
    with server.client() as client:
        client.recommend("c7")
    opened(page, "activity", "document.querySelectorAll('#answers svg *').length > 0")
    answers = httpx.get(f"{server.url}/v1/activity").json()["answers"]
    assert f"{answers:,}" in page.value("document.getElementById('totals').textContent")
    page.picture(tmp_path / "activity.png")


def test_a_reason_names_the_nearest_items_of_the_history(page, server):
    with server.client() as client:
        [first, *_] = [each for each in client.explain("c7").candidates if each.position == 1]
    assert first.nearest
    assert first.nearest[0].title in page.value("document.querySelector('#list tbody tr').textContent")


def test_another_release_is_compared(page, server, config, tmp_path):
    releases = next(config.parent.glob("runs/*/releases"))
    [before] = httpx.get(f"{server.url}/v1/releases").json()["kept"]
    published(releases, candidates=19, reranking={"popularity": {"weight": 0.9}})
    page.until("document.getElementById('release').textContent.length > 0")
    end = time.monotonic() + 60
    while httpx.get(f"{server.url}/v1/release").json()["release"] == before:
        assert time.monotonic() < end
        time.sleep(0.1)
    opened(page, "compare", "document.getElementById('other').options.length == 2")
    page.value(f"document.getElementById('other').value = 'release {before}'")
    page.value("document.getElementById('other').dispatchEvent(new Event('change', {bubbles: true}))")
    page.until("document.getElementById('message').textContent.includes('items are in both lists')")
    with server.client() as client:
        mine = [each.item for each in client.recommend("c7").items]
    rows = (
        "[...document.querySelectorAll('#comparison tbody tr td:nth-child(COLUMN) .id')].map(each => each.textContent)"
    )
    assert page.value(rows.replace("COLUMN", "2")) == mine
    theirs = page.value(rows.replace("COLUMN", "3"))
    body = {"user": "c7", "k": 10, "release": before}
    answer = httpx.post(f"{server.url}/v1/compare", json=body).json()
    assert theirs == [each["item"] for each in answer["items"]]
    assert answer["release"] == before
    assert theirs != mine
    moved = sum(theirs.index(each) != place for place, each in enumerate(mine) if each in theirs)
    marks = page.value("[...document.querySelectorAll('#comparison .mark')].map(each => each.textContent)")
    assert sum(each[0] in "▲▼" for each in marks) == moved
    assert marks.count("new") == marks.count("gone") == len(set(mine) - set(theirs))
    page.picture(tmp_path / "compare.png")


def test_the_page_asks_for_a_token(config, tmp_path):
    store = f"sqlite:{tmp_path / 'store.sqlite'}"
    with serving(config, "--store", store, token=TOKEN) as server, browsing(engines().chromium()) as page:
        page.open(f"{server.url}/#user=c7")
        page.until("document.getElementById('message').className == 'error'")
        page.value(f"document.getElementById('token').value = {TOKEN!r}")
        page.value("document.querySelector('form button').click()")
        page.until(DONE)
        with Client(server.url, TOKEN) as client:
            assert items(page) == [each.item for each in client.recommend("c7").items]
