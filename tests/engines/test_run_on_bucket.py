"""A run on this machine whose releases are in a bucket."""

import json

import pytest
import shop as example
import yaml
from object_servers import BUCKET

from core.release.store import open_store

LOCATION = f"s3://{BUCKET}/on-bucket/releases"


@pytest.fixture(scope="module")
def shop(servers, tmp_path_factory):
    """Return the folder of the example, with releases in a bucket."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers["s3"].environment().items():
            patch.setenv(name, value)
        patch.setenv("TWOSTEP_CACHE", str(folder / "cache"))
        example.make(folder)
        example.config(folder, "shop", run_folder="local", release={"folder": LOCATION})
        yield folder


@pytest.fixture(scope="module")
def runs(shop):
    """Return what three runs told: the first, one without a change, and one with another ranker."""
    told = [json.loads(example.printed("run", shop / "shop.yaml", "--json")) for _ in range(2)]
    values = yaml.safe_load((shop / "shop.yaml").read_text())
    values["ranking"] = {"model": "logistic"}
    (shop / "shop.yaml").write_text(yaml.safe_dump(values))
    return [*told, json.loads(example.printed("run", shop / "shop.yaml", "--json"))]


def test_the_release_is_in_the_bucket_and_answers(shop, runs):
    store = open_store(LOCATION)
    assert store.versions() == [runs[2]["release"], runs[0]["release"]]
    answer = json.loads(example.printed("recommend", LOCATION, "--user", "c7", "--json"))
    assert answer["release"] == store.current() == runs[2]["release"]
    assert not (shop / "local" / "releases").exists()


def test_a_run_without_a_change_comes_from_the_cache(runs):
    assert runs[1]["release"] == runs[0]["release"]
    assert {each["state"] for each in runs[1]["nodes"]} == {"cached"}


def test_another_ranker_is_compared_with_the_release_in_force(shop, runs):
    states = {each["node"]: each["state"] for each in runs[2]["nodes"]}
    assert states["RetrievalTrainer"] == "cached"
    assert {states["RankingTrainer"], states["PairInForce"], states["ReleasePusher"]} == {"done"}
    store = open_store(LOCATION)
    with store.reading() as folder:
        evaluation = json.loads((folder / "evaluation.json").read_text())
    assert "in_force" in evaluation["steps"]["two_step"]["models"]
    example.printed("release", "rollback", shop / "shop.yaml")
    assert store.current() == runs[0]["release"]


def test_a_release_that_was_deleted_is_published_again(shop, runs):
    store = open_store(LOCATION)
    gone = runs[2]["release"]
    store._change(lambda now: now.without([gone]))
    store._storage.delete([each.key for each in store._storage.entries(gone)])
    told = json.loads(example.printed("run", shop / "shop.yaml", "--json"))
    states = {each["node"]: each["state"] for each in told["nodes"]}
    assert {node for node, state in states.items() if state != "cached"} == {"ReleasePusher"}
    assert told["release"] == store.current() != gone
    store.verify()
    again = json.loads(example.printed("run", shop / "shop.yaml", "--json"))
    assert again["release"] == told["release"]
    assert {each["state"] for each in again["nodes"]} == {"cached"}


def test_the_lineage_is_told_by_the_configuration_and_by_the_bucket(shop, runs):
    recorded, held = (
        json.loads(example.printed("lineage", source, runs[0]["release"], "--format", "json"))
        for source in (shop / "shop.yaml", LOCATION)
    )
    assert {each["node"] for each in recorded["executions"]} == {each["node"] for each in held["executions"]}
