"""The store of releases on a bucket whose server, network or neighbours fail in the middle of its work."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import release_parts
from facts import facts
from fault_proxy import Fault, Request
from store_processes import NOON

from core import names
from core.errors import ReleaseError, StorageError
from core.release import bucket as bucket_module
from core.release import reader
from core.release.store import ReleaseStore, open_store
from core.storage import errors
from core.storage.storage import open_storage

MODEL = "retrieval/saved_model.pb"
WRITES = ("PUT", "POST")


@pytest.fixture
def parts(tmp_path) -> Callable[[str], dict[str, Path]]:
    return lambda text: release_parts.make_parts(tmp_path / f"source-{text}", text)


@pytest.fixture
def direct(bucket) -> ReleaseStore:
    """Return a store whose client has already found the server, so that it never goes through the proxy."""
    store = open_store(bucket.location, seconds=20)
    store.current()
    return store


@pytest.fixture
def store(direct, bucket, through) -> ReleaseStore:
    """Return a store whose requests go through the proxy."""
    return open_store(bucket.location, seconds=20)


def once(fits: Callable[[Request], bool], fault: Fault | None, act: Callable[[], object] = lambda: None):
    """Return a rule that breaks the first request that fits, after doing something."""
    state = {"done": False}

    def rule(request: Request) -> Fault | None:
        if state["done"] or not fits(request):
            return None
        state["done"] = True
        act()
        return fault

    return rule


def writes(text: str) -> Callable[[Request], bool]:
    """Return whether a request writes an object whose key contains a text; GCS has it in the body, not in the path."""
    return lambda request: request.method in WRITES and (text in request.path or "/upload/" in request.path)


def writes_pointer(request: Request) -> bool:
    """Return whether a request replaces the pointer; uploads of other objects to GCS have no precondition but 0."""
    if "/upload/" in request.path:
        return "ifGenerationMatch=" in request.path and "ifGenerationMatch=0" not in request.path
    return request.method == "PUT" and request.path.split("?")[0].endswith(bucket_module.POINTER)


# ---- the server ----


def test_a_store_that_answers_503_for_a_while_is_waited_for(store, parts, proxy):
    until = time.monotonic() + 2
    proxy.rule = lambda request: Fault(status=503) if time.monotonic() < until else None
    version = store.publish(parts("one"), {})
    assert time.monotonic() > until
    until = time.monotonic() + 1
    with store.reading() as folder:
        assert folder.name == version


def test_a_store_that_answers_503_for_long_is_a_clear_error_in_bounded_time(bucket, store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    impatient = open_store(bucket.location, seconds=1)
    proxy.rule = lambda request: Fault(status=503)
    begin = time.monotonic()
    for call in (lambda: impatient.publish(parts("two"), {}), lambda: impatient.reading().__enter__()):
        with pytest.raises(errors.UnavailableError, match=facts("503 … tried … Try again later")):
            call()
    assert time.monotonic() - begin < 8
    assert direct.versions() == [one]


@pytest.mark.parametrize("remainder", [0, 1, 2])
def test_a_dropped_connection_is_tried_again(store, direct, parts, proxy, remainder):
    proxy.rule = lambda request: Fault() if request.number % 3 == remainder else None
    version = store.publish(parts("one"), {})
    proxy.rule = lambda request: None
    direct.verify(version)
    assert direct.versions() == [version]


def test_a_bucket_that_does_not_exist_is_named(bucket):
    store = open_store(f"{bucket.kind}://no-such-bucket/films", seconds=1)
    calls = [store.current, store.versions, store.manifest, store.verify, store.rollback, lambda: store.collect(1)]
    for call in [*calls, lambda: store.reading().__enter__()]:
        with pytest.raises(errors.BucketMissingError, match=facts("no-such-bucket … Create it")):
            call()


def test_a_publisher_to_a_bucket_that_does_not_exist_fails(bucket, parts):
    with pytest.raises(errors.BucketMissingError, match="Create it"):
        open_store(f"{bucket.kind}://no-such-bucket/films", seconds=1).publish(parts("one"), {})


def test_wrong_credentials_are_a_clear_error(bucket, parts, through, proxy, monkeypatch):
    if bucket.kind == "s3":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-key")
    else:  # the server of GCS checks no credentials
        proxy.rule = lambda request: Fault(status=403, body=b'{"error": {"message": "no access"}}')
    store = open_store(bucket.location, seconds=1)
    for call in (store.current, lambda: store.publish(parts("one"), {}), lambda: store.reading().__enter__()):
        with pytest.raises(errors.DeniedError, match=facts(f"{bucket.location} … credentials")):
            call()


# ---- lost answers and incomplete uploads ----


def test_a_publication_whose_answer_is_lost_happens_once(store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    proxy.rule = once(writes_pointer, Fault(after=True))
    two = store.publish(parts("two"), {}, created=NOON)
    assert (direct.versions(), direct.current(), direct.history()) == ([two, one], two, [one])


def test_a_publication_whose_answer_is_lost_and_that_another_follows_happens_once(store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    others: list[str] = []

    def publish_another() -> None:
        others.append(direct.publish(parts("other"), {}, created=NOON))

    # The first write arrives and its answer is lost; before the second request, another writer is faster.
    lost = once(writes_pointer, Fault(after=True))
    follow = once(lambda request: request.method == "GET", None, publish_another)

    def rule(request: Request) -> Fault | None:
        fault = lost(request)
        if fault is None and any(map(writes_pointer, proxy.requests[:-1])):
            follow(request)
        return fault

    proxy.rule = rule
    two = store.publish(parts("two"), {}, created=NOON)
    assert direct.history() == [one, two]
    assert [direct.current()] == others
    assert direct.versions() == [*others, two, one]


def test_a_publication_that_never_arrived_is_repeated(store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    proxy.rule = once(writes_pointer, Fault())
    two = store.publish(parts("two"), {}, created=NOON)
    assert (direct.versions(), direct.history()) == ([two, one], [one])


def test_an_upload_that_is_cut_in_half_is_repeated(store, direct, parts, proxy):
    direct.publish(parts("one"), {}, created=NOON)
    proxy.rule = once(writes(MODEL), Fault(cut=True))
    direct.verify(store.publish(parts("two"), {}))


def test_an_upload_that_is_always_cut_in_half_publishes_nothing(bucket, store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    proxy.rule = lambda request: Fault(cut=True) if writes(MODEL)(request) else None
    with pytest.raises(StorageError, match="tried"):
        open_store(bucket.location, seconds=1).publish(parts("two"), {})
    assert direct.versions() == [one]
    direct.verify()


def test_a_file_that_arrives_shorter_than_it_was_sent_publishes_nothing(bucket, store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    storage = direct._storage

    def lists(request: Request) -> bool:
        return request.method == "GET" and "prefix=" in request.path

    def shorten() -> None:
        key = next(each.key for each in storage.entries() if each.key.endswith(MODEL) and one not in each.key)
        replaced(storage, key, "h")

    proxy.rule = once(lists, None, shorten)
    with pytest.raises(errors.IncompleteUploadError, match=facts(f"{MODEL} … 3 bytes … found 1")):
        store.publish(parts("two"), {})
    assert direct.versions() == [one]


def replaced(storage, key: str, text: str) -> None:
    """Replace the content of an object."""
    storage.delete([key])
    storage.write(key, text.encode())


# ---- readers and neighbours ----


def reads(text: str) -> Callable[[Request], bool]:
    """Return whether a request reads the content of an object whose key contains a text."""
    return lambda request: request.method == "GET" and text in request.path and "prefix=" not in request.path


def test_an_object_that_changes_while_it_is_read_is_refused(store, direct, parts, proxy):
    one = direct.publish(parts("one"), {})
    proxy.rule = once(reads(MODEL), None, lambda: replaced(direct._storage, f"{one}/{MODEL}", "new"))
    with pytest.raises(ReleaseError, match=facts(f"{one} … {MODEL} … damaged")):
        store.reading().__enter__()


def test_a_reader_whose_release_is_collected_gets_the_new_one_or_an_error(bucket, store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    newer: list[str] = []

    def replace() -> None:
        for minute in (1, 2):
            newer.append(direct.publish(parts(f"text {minute}"), {}, created=NOON + timedelta(minutes=minute)))
        direct.collect(1)

    proxy.rule = once(reads(MODEL), None, replace)
    with store.reading() as folder:
        assert folder.name == newer[-1]
    assert one not in direct.versions()
    with pytest.raises(ReleaseError, match="there is no release"), store.reading(one):
        pass


def test_a_damaged_local_copy_is_fetched_again(direct, parts, cache):
    direct.publish(parts("one"), {})
    for damage in ("changed", None):
        with direct.reading() as folder:
            assert cache in folder.parents
        if damage is None:
            (folder / MODEL).unlink()
        else:
            (folder / MODEL).write_text(damage)
        with direct.reading() as folder:
            assert (folder / MODEL).read_text() == "one"


def resealed(manifest: bytes, name: str) -> bytes:
    """Return a manifest with another name of the recommender and a fitting seal, which anyone can compute."""
    value = json.loads(manifest)
    value["facts"]["name"] = name
    return json.dumps(value | {"seal": reader.seal(value)}).encode()


def test_a_local_copy_of_other_content_is_fetched_again(direct, parts):
    direct.publish(parts("one"), {"name": "films"})
    with direct.reading() as folder:
        file = folder / names.MANIFEST_FILE
    content = file.read_bytes()
    file.write_bytes(resealed(content, "other"))
    with direct.reading():
        assert file.read_bytes() == content


def test_a_manifest_that_is_not_the_published_one_is_refused(direct, parts):
    one = direct.publish(parts("one"), {"name": "films"})
    key = f"{one}/{names.MANIFEST_FILE}"
    replaced(direct._storage, key, resealed(direct._storage.read(key)[0], "other").decode())
    for call in (direct.manifest, direct.verify, lambda: direct.reading().__enter__()):
        with pytest.raises(ReleaseError, match=facts(f"{key} … was changed")):
            call()


def test_a_local_copy_is_read_without_fetching_it_again(store, direct, parts, proxy):
    direct.publish(parts("one"), {})
    with store.reading():
        before = len(proxy.requests)
    with store.reading():
        assert len(proxy.requests) == before + 1  # the pointer


def test_only_the_local_copies_used_last_are_kept(direct, parts, cache):
    for number in range(8):
        version = direct.publish(parts(f"text {number}"), {})
        with direct.reading(version):
            pass
    assert len(list((cache / "releases").glob("*/2*"))) == 5


def test_what_a_killed_publisher_left_goes_after_a_time_by_the_clock_of_the_store(bucket, direct, parts):
    storage = open_storage(bucket.location)
    left = "20350131T120000Z-0123abcd"  # its name is of another year than the clock of the store
    direct.publish(parts("one"), {})
    for key in (f"{left}/{bucket_module.CLAIM}", f"{left}/{names.CATALOGUE_FILE}", "unrelated/file", "other"):
        storage.write(key, b"x")

    def existing() -> set[str]:
        return {each.key for each in storage.entries() if each.key.startswith((left, "unrelated", "other"))}

    direct.collect(1)
    assert len(existing()) == 4
    time.sleep(2.1)
    bucket_module.BucketStore(storage, abandoned_after=timedelta(seconds=1)).collect(1)
    assert existing() == {"unrelated/file", "other"}
    direct.verify()


def test_a_publisher_so_slow_that_its_files_were_collected_fails(bucket, store, direct, parts, proxy):
    one = direct.publish(parts("one"), {}, created=NOON)
    strict = bucket_module.BucketStore(direct._storage, abandoned_after=timedelta(seconds=-10))
    proxy.rule = once(writes_pointer, None, lambda: strict.collect(1))
    with pytest.raises(ReleaseError, match=facts("abandoned … Publish again")):
        store.publish(parts("two"), {})
    assert direct.versions() == [one]
    direct.verify()


def test_a_pointer_that_is_no_pointer_is_named(bucket, direct):
    storage = open_storage(bucket.location)
    for content in (b"20250131T120000Z-0123abcd\n", b'{"current": 3}', b"\xff"):
        replaced_bytes(storage, content)
        with pytest.raises(ReleaseError, match=facts(f"{bucket.location}/current.json")):
            direct.current()


def replaced_bytes(storage, content: bytes) -> None:
    storage.delete([bucket_module.POINTER])
    storage.write(bucket_module.POINTER, content)
