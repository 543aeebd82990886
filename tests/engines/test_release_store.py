"""The contract of a store of releases: the same on disk, on S3 (versitygw) and on Google Cloud Storage."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import release_parts
from facts import facts
from store_processes import NOON, Work, at_once

from core import names
from core.errors import ReleaseError, UsageError
from core.release import signing
from core.release.bucket import BucketStore
from core.release.store import ReleaseStore, open_store
from core.storage.storage import open_storage
from pipeline.commands import release_source

MODEL = "retrieval/saved_model.pb"


@pytest.fixture
def store(place) -> ReleaseStore:
    return open_store(place.location, seconds=20)


@pytest.fixture
def publish(store, tmp_path) -> Callable[..., str]:
    """Return a function that publishes a release with a text as retrieval model, created some minutes after noon."""

    def publish(text: str, minute: int, signing_key: Path | None = None) -> str:
        parts = release_parts.make_parts(tmp_path / f"source-{text}", text)
        created = NOON + timedelta(minutes=minute)
        return store.publish(parts, {"name": text}, created=created, signing_key=signing_key)

    return publish


def overwrite(place, key: str, text: str | None) -> None:
    """Replace the content of a file in a place, or delete it."""
    storage = open_storage(place.location)
    storage.delete([key])
    if text is not None:
        storage.write(key, text.encode())


# ---- publishing and reading ----


def test_before_the_first_release_there_is_nothing(store):
    assert (store.current(), store.versions(), store.earlier(), store.history()) == (None, [], [], [])
    for call in (store.manifest, store.verify, store.rollback):
        with pytest.raises(ReleaseError, match="twostep run"):
            call()
    with pytest.raises(ReleaseError, match="no release"), store.reading():
        pass


def test_a_release_is_read_as_it_was_published(store, publish):
    one, two = publish("one", 0), publish("two", 1)
    assert (store.current(), store.versions(), store.earlier(), store.history()) == (two, [two, one], [one], [one])
    for version, text in ((None, "two"), (two, "two"), (one, "one")):
        store.verify(version)
        manifest = store.manifest(version)
        assert manifest["facts"]["name"] == text
        with store.reading(version) as folder:
            assert folder.name == manifest["version"] == (version or two)
            assert (folder / MODEL).read_text() == text
            assert {path.name for path in folder.iterdir() if path.is_file()} >= {
                names.MANIFEST_FILE,
                "catalogue.arrow",
            }


def test_the_same_release_twice_in_a_second_is_one(store, publish):
    assert publish("one", 0) == publish("one", 0)
    assert len(store.versions()) == 1
    assert store.history() == []


@pytest.mark.parametrize("name", ["20250131T120000Z-00000000", "../x", "x", ""])
def test_a_version_that_does_not_exist_is_named_with_those_that_do(store, publish, name):
    one = publish("one", 0)
    for call in (store.manifest, store.verify, store.rollback):
        with pytest.raises(ReleaseError, match=facts(one)):
            call(name)


def test_a_command_finds_a_store_and_a_release_by_their_location(place, store, publish):
    one, two = publish("one", 0), publish("two", 1)
    location = place.location if place.server else Path(place.location)
    source = release_source.find(location)
    for version, expected in ((None, two), (one, one)):
        with release_source.reading(source, version) as folder:
            assert folder.name == expected
    single = release_source.find(store.address(one) if place.server else Path(store.address(one)))
    with release_source.reading(single, None) as folder:
        assert (folder / MODEL).read_text() == "one"
    with pytest.raises(UsageError, match="one release"), release_source.reading(single, one):
        pass


# ---- rollback ----


def test_a_rollback_goes_to_what_was_in_force_before_and_a_second_undoes_it(store, publish):
    one, two = publish("one", 0), publish("two", 1)
    assert store.rollback() == store.current() == one
    assert store.rollback() == store.current() == two
    assert store.history() == [one, two, one]
    assert store.rollback(two) == two
    assert store.history() == [one, two, one]


def test_the_only_release_has_nothing_before_it(store, publish):
    one = publish("one", 0)
    with pytest.raises(ReleaseError, match=facts(one)):
        store.rollback()
    assert store.current() == one


# ---- deletion ----


def test_the_newest_and_what_was_in_force_last_stay(place, store, publish):
    versions = [publish(f"text {number}", number) for number in range(5)]
    store.rollback(versions[0])
    expected = [store.address(version) for version in versions[1:3]]
    assert store.collect(1, dry_run=True) == [store.address(version) for version in versions[1:4]]
    assert store.versions() == versions[::-1]
    assert store.collect(2) == expected
    assert store.versions() == [versions[4], versions[3], versions[0]]
    assert store.history() == [versions[0], versions[3], versions[4]]
    left = {each.key.split("/")[0] for each in open_storage(place.location).entries() if "/" in each.key}
    assert left == set(store.versions())
    for version in store.versions():
        store.verify(version)
    for address in expected:
        with pytest.raises(ReleaseError, match="there is no release"):
            store.manifest(address.rpartition("/")[2])
    with pytest.raises(UsageError, match="at least 1"):
        store.collect(0)


def pushed_models(serving: str | Path) -> list[str]:
    """Return the models below a folder or URI."""
    return sorted({each.key.rpartition("/")[0] for each in open_storage(serving).entries()})


def publish_with_models(store: ReleaseStore, folder: Path, serving: str | Path) -> list[str]:
    """Publish five releases with the models 10 to 50, and push the models 15 and 60 without a release."""
    versions = []
    for number in (10, 15, 20, 30, 40, 50, 60):
        served = {step: f"{serving}/{step}/{number}" for step in ("retrieval", "ranking")}
        for step in served:
            open_storage(serving).write(f"{step}/{number}/saved_model.pb", b"model")
        if number not in (15, 60):
            parts = release_parts.make_parts(folder / f"source-{number}", str(number))
            created = NOON + timedelta(minutes=number)
            versions.append(store.publish(parts, {}, served, created=created))
    return versions


def of_both(*numbers: int) -> list[str]:
    return [f"{step}/{number}" for step in ("ranking", "retrieval") for number in numbers]


def test_pushed_models_of_no_release_are_deleted(store, tmp_path):
    serving = tmp_path / "serving"  # beside the releases on disk, and on the machine that publishes to a bucket
    versions = publish_with_models(store, tmp_path, serving)
    assert store.manifest(versions[0])["served"] == {
        "retrieval": "../serving/retrieval/10",
        "ranking": "../serving/ranking/10",
    }
    store.rollback(versions[0])
    gone = [str(serving / step / str(number)) for step in ("retrieval", "ranking") for number in (15, 20, 30)]
    addresses = [store.address(version) for version in versions[1:3]]
    assert store.collect(2, serving, dry_run=True) == addresses + gone
    assert pushed_models(serving) == of_both(10, 15, 20, 30, 40, 50, 60)
    assert store.collect(2, serving) == addresses + gone
    assert pushed_models(serving) == of_both(10, 40, 50, 60)


def test_models_that_this_machine_pushed_stay_while_only_others_are_newer(store, tmp_path):
    publish_with_models(store, tmp_path, tmp_path / "serving")
    other = tmp_path / "other" / "serving"
    for step in ("retrieval", "ranking"):
        open_storage(other).write(f"{step}/45/saved_model.pb", b"not yet released")
    store.collect(1, other)
    assert pushed_models(other) == of_both(45)


def test_all_pushed_models_stay_if_a_release_does_not_name_its_own(store, publish, tmp_path):
    publish_with_models(store, tmp_path, tmp_path / "serving")
    publish("without", 100)
    store.collect(2, tmp_path / "serving")
    assert pushed_models(tmp_path / "serving") == of_both(10, 15, 20, 30, 40, 50, 60)


def test_pushed_models_in_a_bucket_are_deleted_when_they_are_old(bucket, tmp_path):
    serving = bucket.location.rpartition("/")[0] + "/serving"
    store = open_store(bucket.location)
    publish_with_models(store, tmp_path, serving)
    store.collect(2, serving)
    assert pushed_models(serving) == of_both(10, 15, 20, 30, 40, 50, 60)  # another run may be about to release them
    later = BucketStore(open_storage(bucket.location), abandoned_after=timedelta(seconds=-10))
    expected = [f"{serving}/{step}/{number}" for step in ("retrieval", "ranking") for number in (10, 15, 20, 30)]
    assert later.collect(2, serving, dry_run=True) == later.collect(2, serving) == expected
    assert pushed_models(serving) == of_both(40, 50, 60)


@pytest.mark.parametrize("text", [None, "shorter"])
def test_nothing_is_deleted_where_the_release_in_force_is_not_whole(place, store, publish, text):
    versions = [publish(f"text {number}", number) for number in range(4)]
    overwrite(place, f"{versions[-1]}/users/00000-of-00001.arrow", text)
    with pytest.raises(ReleaseError, match=facts(f"{versions[-1]} … 00000-of-00001.arrow")):
        store.collect(1)
    assert store.versions() == versions[::-1]


# ---- damage and trust ----


@pytest.mark.parametrize("text", [None, "wrong", "longer text"])  # missing; as long as before; longer
def test_a_damaged_release_is_refused_and_the_others_are_named(place, store, publish, text):
    one, two = publish("one", 0), publish("two", 1)
    overwrite(place, f"{two}/users/00000-of-00001.arrow", text)
    calls = [store.verify, lambda: store.rollback(two), lambda: store.reading().__enter__()]
    for call in calls:
        with pytest.raises(ReleaseError, match=facts(f"00000-of-00001.arrow … {one}")):
            call()
    store.verify(one)
    assert store.rollback() == one


def test_a_file_that_the_manifest_does_not_name_is_found(place, store, publish):
    one = publish("one", 0)
    overwrite(place, f"{one}/retrieval/extra", "more")
    with pytest.raises(ReleaseError, match=facts("extra … not named")):
        store.verify()


def test_a_changed_manifest_is_refused(place, store, publish):
    publish("zero", 0)
    one = publish("one", 1)
    key = f"{one}/{names.MANIFEST_FILE}"
    content = open_storage(place.location).read(key)[0].decode()
    overwrite(place, key, content.replace('"one"', '"two"'))
    for call in (store.manifest, store.verify):
        with pytest.raises(ReleaseError, match=facts("manifest.json … was changed")):
            call()


def test_a_release_is_read_only_if_a_trusted_key_has_signed_it(store, publish, tmp_path):
    private, public = signing.make_keys(tmp_path / "keys")
    _, other = signing.make_keys(tmp_path / "other")
    unsigned, signed = publish("unsigned", 0), publish("signed", 1, private)
    for trusted in ((public,), (other, public), ()):
        store.verify(signed, trusted)
        with store.reading(signed, trusted) as folder:
            assert (folder / MODEL).read_text() == "signed"
    for version, trusted in ((signed, [other]), (unsigned, [public])):
        for call in (store.manifest, store.verify, store.rollback, lambda *each: store.reading(*each).__enter__()):
            with pytest.raises(ReleaseError, match="trusted keys"):
                call(version, trusted)
    assert store.current() == signed


def test_nothing_is_published_from_bad_parts(store, tmp_path):
    parts = release_parts.make_parts(tmp_path / "source")
    (tmp_path / "source/model/link").symlink_to("saved_model.pb")
    with pytest.raises(ReleaseError, match="link"):
        store.publish(parts, {})
    assert store.versions() == []


# ---- several processes ----


def test_two_who_push_at_once_do_not_mix_and_none_is_forgotten(place, store, tmp_path):
    at_once(
        place.location,
        place.environment,
        Work("push", (str(tmp_path / "one"), "one", 10, 0, 0)),
        Work("push", (str(tmp_path / "two"), "two", 10, 0, 30)),
    )
    found = store.versions()
    assert len(found) == 20
    for version in found:
        store.verify(version)
        with store.reading(version) as folder:
            assert (folder / MODEL).read_text() == store.manifest(version)["facts"]["name"]
    in_force = [*store.history(), store.current()]
    assert sorted(in_force) == sorted(found)
    for seconds in ("00Z", "30Z"):  # the releases of each writer came into force in their order
        own = [version for version in in_force if version[13:16] == seconds]
        assert own == sorted(own)
        assert len(own) == 10


def test_two_who_push_the_same_at_once_do_not_mix(place, store, tmp_path):
    work = [Work("push", (str(tmp_path / name), "one", 10, 0, 0)) for name in ("a", "b")]
    at_once(place.location, place.environment, *work)
    found = store.versions()
    assert len(found) == len(set(found))
    assert 10 <= len(found) <= 20
    for version in found:
        store.verify(version)


def test_a_reader_finds_whole_releases_while_others_push_and_collect(place, store, publish, tmp_path):
    publish("first", 0)
    at_once(
        place.location,
        place.environment,
        Work("push", (str(tmp_path / "one"), "one", 10, 1, 0, True)),
        Work("push", (str(tmp_path / "two"), "two", 10, 1, 30, True)),
        Work("read", (2.0,)),
    )
    assert len(store.versions()) <= 4
    store.verify()
