"""A server whose releases change, and one that is killed."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from serving_process import ROOT, published, serving

from core.release import reader, writer
from serving.client import ServerError


@pytest.fixture
def releases(finished, tmp_path):
    """Return a copy of the releases, which a test may change."""
    shutil.copytree(finished.releases, tmp_path / "releases")
    return tmp_path / "releases"


@pytest.fixture
def server(releases):
    with serving(releases, "--store", f"sqlite:{releases.parent / 'store.sqlite'}") as server:
        yield server


def replay(releases, request_id):
    """Return the exit code and the output of `twostep replay`."""
    store = f"sqlite:{releases.parent / 'store.sqlite'}"
    command = [sys.executable, "-m", "pipeline.cli", "replay", str(releases), request_id, "--store", store, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_new_release_is_served_while_requests_go_on_and_a_bad_one_is_not(server, releases):
    before, client = reader.current(releases), server.client()
    stop, failed, seen = threading.Event(), [], set()

    def ask():
        with server.client() as own:
            while not stop.is_set():
                try:
                    seen.add(own.recommend("u", 5).release)
                except Exception as error:
                    failed.append(error)

    def until(version):
        end = time.monotonic() + 120
        while client.release()["release"] != version:
            assert time.monotonic() < end
            time.sleep(0.1)

    client.add_events([{"user": "u", "item": item, "timestamp": 9} for item in ("1", "50")])
    asked = [client.recommend("u", 5), *client.recommend_batch([{"user": "u", "k": 9}]), client.rank("u", ["7", "50"])]
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    second = published(releases, candidates=30)
    until(second)
    assert len(client.recommend("u", 30).items) == 30
    client.put_item(asked[0].items[0].item, hidden=True)
    client.add_events([{"user": "u", "item": "100"}])
    with pytest.raises(ServerError, match=f"409 .*`twostep replay SOURCE {asked[0].request_id}`"):
        client.replay(asked[0].request_id)
    code, replayed = replay(releases, asked[0].request_id)
    assert (code, [each["now"] for each in replayed["items"]]) == (0, [each.item for each in asked[0].items])
    bad = published(releases)
    model = next((releases / bad / reader.RANKING).rglob("saved_model.pb"))
    model.chmod(0o644)
    model.write_bytes(b"damaged" + model.read_bytes())
    end = time.monotonic() + 120
    while "twostep_release_refusals 1.0" not in httpx.get(server.url + "/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.release()["release"] == second
    writer.rollback(releases, before)
    until(before)
    for each in asked:
        replayed = client.replay(each.request_id)
        assert replayed["equal"]
        assert [item["now"] for item in replayed["items"]] == [item.item for item in each.items]
    assert client.recommend("u", 5).items != asked[0].items
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert seen == {before, second}


def test_no_accepted_event_is_lost_with_the_process(releases, tmp_path):
    store = f"sqlite:{tmp_path / 'store.sqlite'}"
    accepted = []
    with serving(releases, "--store", store) as server, server.client() as client:
        for number in range(50):
            client.add_events([{"id": str(number), "user": "u", "item": f"item {number}", "timestamp": 1000 + number}])
            accepted.append(f"item {number}")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with serving(releases, "--store", store) as server, server.client() as client:
        history = client.user("u")["history"]
        assert history == accepted[-len(history) :]
        assert len(history) >= 20
