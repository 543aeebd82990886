"""Storage by URI on disk and on real servers: conditions, transfers, and the error for each kind of failure."""

import hashlib
import os
import re
import signal
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from facts import facts
from fault_proxy import Fault
from object_servers import BUCKET

from core import progress
from core.errors import StorageError
from core.files import folder_digests
from core.storage import errors, fork, storage
from core.storage.storage import Expected, Storage, open_storage

XML = "<?xml version='1.0'?><Error><Code>{}</Code><Message>no</Message></Error>"


@pytest.fixture
def store(place) -> Storage:
    return open_storage(place.location, seconds=10)


@pytest.fixture
def direct(bucket) -> Storage:
    """Return a storage whose client has already found the server, so that it never goes through the proxy."""
    direct = open_storage(bucket.location, seconds=10)
    direct.entries()
    return direct


@pytest.fixture
def faulty(direct, bucket, through) -> Storage:
    """Return a storage whose requests go through the proxy."""
    return open_storage(bucket.location, seconds=2)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with nested files, one of them empty and one larger than a part of an upload."""
    source = tmp_path / "source"
    for name, content in {
        "a.txt": b"a",
        "b/empty": b"",
        "b/c/ä ö%20+.txt": "ü".encode(),
        "large": os.urandom(1000) * 20_000,
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    return source


# ---- single objects ----


def test_a_write_replaces_only_what_it_knows(store):
    first = store.write("a/pointer", b"1")
    second = store.write("a/pointer", b"2", first)
    for tag in (None, first):
        with pytest.raises(errors.ConflictError, match="another writer"):
            store.write("a/pointer", b"3", tag)
    assert store.read("a/pointer") == (b"2", second)
    with pytest.raises(errors.ConflictError):
        store.write("a/missing", b"3", second)
    assert not store.exists("a/missing")
    store.delete(["a/pointer"])
    store.write("a/pointer", b"4")
    assert store.read("a/pointer")[0] == b"4"


def test_of_writers_at_once_none_overwrites_another(place, store):
    store.write("counter", b"0")

    def count() -> None:
        own = open_storage(place.location, seconds=20)
        for _ in range(15):
            while True:
                value, tag = own.read("counter")
                try:
                    own.write("counter", b"%d" % (int(value) + 1), tag)
                    break
                except errors.ConflictError:
                    time.sleep(0.001)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("counter")[0] == b"60"


def test_a_listing_has_sizes_times_and_tags(store):
    tags = {key: store.write(key, b"x" * size) for size, key in enumerate(("a/b", "a/c/d", "ab"))}
    assert [(each.key, each.size) for each in store.entries()] == [("a/b", 0), ("a/c/d", 1), ("ab", 2)]
    assert [each.key for each in store.entries("a")] == ["a/b", "a/c/d"]
    assert store.entries("none") == []
    for each in store.entries():
        assert abs((datetime.now(UTC) - each.modified).total_seconds()) < 60
        assert each == store.stat(each.key)
        assert each.tag == tags[each.key]
    store.delete(["a/b", "missing"])
    assert [store.exists(key) for key in ("a/b", "ab", "a")] == [False, True, False]


def test_a_missing_object_is_named(place, store):
    for call in (store.read, store.stat):
        with pytest.raises(errors.ObjectMissingError, match=facts(f"{place.location}/a/b … Correct")):
            call("a/b")


# ---- transfers ----


def test_a_folder_arrives_as_it_was_sent(store, folder, tmp_path):
    store.upload(folder, "x/y")
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    store.download("x/y", target)
    assert folder_digests(target) == folder_digests(folder)
    assert not (target / "old").exists()
    store.upload(folder / "a.txt", "single")
    assert store.read("single")[0] == b"a"


def test_many_files_arrive(store, tmp_path):
    (tmp_path / "many").mkdir()
    for number in range(200):
        (tmp_path / "many" / str(number)).write_text(str(number))
    store.upload(tmp_path / "many", "")
    store.download("", tmp_path / "target")
    assert folder_digests(tmp_path / "target") == folder_digests(tmp_path / "many")


def test_only_what_is_expected_is_downloaded_and_checked(store, folder, tmp_path):
    store.upload(folder, "x")
    target = tmp_path / "target"
    digest = hashlib.sha256(b"a").hexdigest()
    store.download("x", target, {"a.txt": Expected(1, digest)})
    assert folder_digests(target) == {"a.txt": digest}
    for wrong in (Expected(2), Expected(1, hashlib.sha256(b"b").hexdigest())):
        with pytest.raises(errors.ObjectChangedError, match=facts("x/a.txt … damaged")):
            store.download("x", target, {"a.txt": wrong, "large": Expected(20_000_000)})
    with pytest.raises(errors.ObjectMissingError, match="x/none"):
        store.download("x", target, {"none": Expected(1)})
    with pytest.raises(StorageError, match=r"\.\./evil"):
        store.download("x", target, {"../evil": Expected(1)})
    assert folder_digests(target) == {"a.txt": digest}  # a failed download changes nothing
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "target", "releases"}  # and leaves nothing


def test_a_prefix_without_objects_is_an_error(store, tmp_path):
    with pytest.raises(errors.ObjectMissingError, match="holds no object"):
        store.download("none", tmp_path / "target")


def test_links_are_not_uploaded(store, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to("/etc/passwd")
    for source in (tmp_path / "folder", tmp_path / "folder/link"):
        with pytest.raises(StorageError, match=facts("link … regular file")):
            store.upload(source, "x")
    assert store.entries() == []


def test_a_key_of_another_writer_cannot_leave_the_folder(servers, bucket, tmp_path):
    if bucket.kind == "s3":  # versitygw refuses to store such keys
        for key in ("x/../../evil", "/evil", "x//evil"):
            with pytest.raises(StorageError, match="Rename"):
                open_storage(bucket.location).write(key, b"x")
        return
    from google.cloud import storage as gcs

    prefix = bucket.location.partition(f"{BUCKET}/")[2]
    for name in ("x/../../evil", "x//evil", "x/a\nb"):
        gcs.Client().bucket(BUCKET).blob(f"{prefix}/{name}").upload_from_string("x")
        with pytest.raises(StorageError, match="cannot be a file"):
            open_storage(bucket.location).download("x", tmp_path / "a/b/target")
        gcs.Client().bucket(BUCKET).blob(f"{prefix}/{name}").delete()
    assert not list(tmp_path.rglob("*evil*"))


def test_a_long_transfer_reports_its_progress(store, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_SILENT", 0)
    lines: list[str] = []
    with progress.listening(lines.append):
        store.upload(folder, "x")
        store.download("x", tmp_path / "target")
    assert any(re.search(r"upload to .*: 4 of 4 files, 19 of 19 MiB", line) for line in lines)
    assert any(re.search(r"download of .*: 4 of 4 files, 19 of 19 MiB", line) for line in lines)


def test_a_forked_process_uses_the_store_that_its_parent_has_used(store, folder, tmp_path):
    store.upload(folder, "x")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.download("x", tmp_path / "target")
            with pytest.raises(errors.ObjectMissingError):
                store.read("none")
            tag = store.write("pointer", b"1")
            if fork._helper is not None:  # a helper that was killed is replaced
                fork._helper[1].kill()
            store.write("pointer", b"2", tag)
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.05)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)
    assert folder_digests(tmp_path / "target") == folder_digests(folder)
    assert store.read("pointer")[0] == b"2"


# ---- failures ----


def test_an_object_that_is_replaced_while_a_prefix_is_downloaded_is_refused(direct, faulty, folder, tmp_path, proxy):
    direct.upload(folder, "x")
    replaced = []

    def rule(request):
        if request.method == "GET" and "a.txt" in request.path and "prefix=" not in request.path and not replaced:
            replaced.append(True)
            direct.delete(["x/a.txt"])
            direct.write("x/a.txt", b"b")  # as long as before

    proxy.rule = rule
    with pytest.raises(errors.ObjectChangedError, match=r"x/a\.txt"):
        faulty.download("x", tmp_path / "target")
    assert replaced
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("fault", [Fault(after=True), Fault(), Fault(status=503), Fault(status=500, after=True)])
def test_a_write_whose_answer_is_lost_is_judged_by_reading(faulty, proxy, fault):
    tag = faulty.write("x", b"1")
    faults = [fault]
    proxy.rule = lambda request: faults.pop() if request.method != "GET" and faults else None
    second = faulty.write("x", b"2", tag)
    assert faulty.read("x") == (b"2", second)
    assert not faults
    faults.append(fault)
    faulty.write("y", b"3")
    assert faulty.read("y")[0] == b"3"


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_write_that_another_writer_beats_is_a_conflict(direct, faulty, proxy, arrived):
    tag = faulty.write("x", b"1")
    beaten = []

    def rule(request):
        if request.method == "GET" or beaten:
            return None
        beaten.append(direct.write("x", b"other", tag))
        return Fault(after=arrived)

    proxy.rule = rule
    with pytest.raises(errors.ConflictError):
        faulty.write("x", b"2", tag)
    assert direct.read("x") == (b"other", beaten[0])


@pytest.mark.parametrize(
    ("kind", "answers", "words"),
    [
        (errors.ExpiredTokenError, {"s3": (400, XML.format("ExpiredToken")), "gs": (401, "{}")}, "expired … Renew"),
        (errors.DeniedError, {"s3": (403, XML.format("AccessDenied")), "gs": (403, "{}")}, "refuses … grant"),
        (errors.UnavailableError, {"s3": (429, ""), "gs": (429, "{}")}, "429 … tried"),
        (errors.UnavailableError, {"s3": (503, XML.format("SlowDown")), "gs": (503, "{}")}, "503 … tried"),
    ],
)
def test_each_failure_has_an_error_that_says_what_to_do(bucket, proxy, through, tmp_path, folder, kind, answers, words):
    store = open_storage(bucket.location, seconds=0.3)
    status, body = answers[bucket.kind]
    proxy.rule = lambda request: Fault(status=status, body=body.encode())
    for call in (
        lambda: store.read("x"),
        lambda: store.write("x", b"1"),
        lambda: store.entries(),
        lambda: store.upload(folder, "x"),
        lambda: store.download("x", tmp_path / "target", {"a": Expected(1)}),
        lambda: store.delete(["x"]),
    ):
        with pytest.raises(kind) as caught:
            call()
        for word in words.split(" … "):
            assert word.lower() in str(caught.value).lower()
        assert bucket.location in str(caught.value)


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)  # the server of GCS checks no credentials
def test_wrong_keys_are_refused(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with monkeypatch.context() as context:
            context.setenv(name, "wrong")
            for call in (Storage.entries, lambda store: store.read("x"), lambda store: store.write("x", b"")):
                with pytest.raises(errors.DeniedError, match="AWS_SECRET_ACCESS_KEY"):
                    call(open_storage(bucket.location, seconds=1))


def test_missing_credentials_are_named(bucket, monkeypatch, tmp_path):
    for name in bucket.server.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    if bucket.kind == "gs":
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    else:
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    wanted = {"gs": "GOOGLE_APPLICATION_CREDENTIALS", "s3": "AWS_ACCESS_KEY_ID"}[bucket.kind]
    with pytest.raises(errors.NoCredentialsError, match=wanted):
        open_storage(bucket.location, seconds=1).read("x")


def test_a_host_that_does_not_answer_is_named(bucket, monkeypatch):
    for name, value in bucket.server.environment(1).items():
        monkeypatch.setenv(name, value)
    begin = time.monotonic()
    for call in (Storage.entries, lambda store: store.read("x"), lambda store: store.write("x", b"")):
        with pytest.raises(errors.UnreachableError, match=facts("http://127.0.0.1:1 … tried")):
            call(open_storage(bucket.location, seconds=0.5))
    assert time.monotonic() - begin < 6


def test_an_unencrypted_connection_is_made_only_where_the_endpoint_says_http(bucket, monkeypatch):
    for name, value in bucket.server.environment().items():
        monkeypatch.setenv(name, value.replace("http://", "https://"))
    with pytest.raises(errors.UnreachableError):
        open_storage(bucket.location, seconds=0.3).read("x")
