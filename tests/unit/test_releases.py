"""The release store: whole or not seen, verified, and rolled back; killed at every step it takes."""

import json
import multiprocessing
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from core import durable, names, releases
from core.errors import ReleaseError

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)


def make_parts(folder: Path, text: str = "one") -> dict[str, Path]:
    content = {
        "model/saved_model.pb": text,
        "model/variables/variables.index": "weights",
        "ranker/saved_model.pb": "ranker",
        "index/items.faiss": "vectors",
        f"index/{names.CATALOGUE_FILE}": "catalogue",
        names.EVALUATION_FILE: "{}",
    }
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value)
    return {
        releases.RETRIEVAL: folder / "model",
        releases.INDEX: folder / "index",
        releases.RANKING: folder / "ranker",
        names.CATALOGUE_FILE: folder / "index" / names.CATALOGUE_FILE,
        names.EVALUATION_FILE: folder / names.EVALUATION_FILE,
    }


def publish(root: Path, text: str, minute: int, facts: dict | None = None) -> str:
    parts = make_parts(root / f"source-{text}", text)
    return releases.publish(root / "releases", parts, facts or {}, NOON + timedelta(minutes=minute))


@pytest.fixture
def store(tmp_path):
    return tmp_path / "releases"


def hidden(store: Path) -> list[str]:
    return [path.name for path in store.iterdir() if path.name.endswith(".partial")]


# ---- publishing ----


def test_a_release_holds_its_parts_and_a_manifest_of_them(tmp_path, store):
    version = publish(tmp_path, "one", 0, {"name": "films", "seed": 7})
    found = sorted(
        path.relative_to(store / version).as_posix() for path in (store / version).rglob("*") if path.is_file()
    )
    assert found == [
        "catalogue.arrow",
        "evaluation.json",
        "index/items.faiss",
        "manifest.json",
        "ranking/saved_model.pb",
        "retrieval/saved_model.pb",
        "retrieval/variables/variables.index",
    ]
    written = releases.manifest(store)
    assert sorted(written["files"]) == [name for name in found if name != "manifest.json"]
    assert written["files"]["catalogue.arrow"] == {
        "sha256": "d2504e52b8b07484a2b690e7ffaedeabe91320c09012844d0f7c81c2ec72e882",
        "size": 9,
    }
    assert written["facts"] == {"name": "films", "seed": 7}
    assert written["created"] == "2025-01-31T12:00:00+00:00"
    assert version == written["version"] == f"20250131T120000Z-{written['content_digest'][:8]}"
    assert (store / "current").read_text() == f"{version}\n"
    assert releases.resolve(store) == store / version
    assert not hidden(store)
    assert (store / version).stat().st_mode & 0o777 == 0o755
    assert not (store / version / "catalogue.arrow").stat().st_mode & 0o111


def test_the_content_digest_knows_neither_time_nor_facts(tmp_path, store):
    digests = {}
    for minute, text in enumerate(("same", "same", "other")):
        version = publish(tmp_path, text, minute, {"minute": minute})
        digests[version] = releases.manifest(store, version)["content_digest"]
    first, second, other = digests.values()
    assert first == second != other
    assert releases.versions(store) == sorted(digests, reverse=True)


def test_the_random_fingerprint_of_a_model_is_checked_but_is_no_content(tmp_path, store):
    parts = make_parts(tmp_path / "source")
    digests = []
    for minute, fingerprint in enumerate(("random", "other")):
        (parts[releases.RETRIEVAL] / "fingerprint.pb").write_text(fingerprint)
        releases.publish(store, parts, {}, NOON + timedelta(minutes=minute))
        digests.append(releases.manifest(store)["content_digest"])
    assert digests[0] == digests[1]
    (releases.resolve(store) / "retrieval/fingerprint.pb").write_text("damaged")
    with pytest.raises(ReleaseError, match=r"retrieval/fingerprint\.pb is damaged"):
        releases.verify(store)


def test_the_same_release_twice_in_a_second_is_one(tmp_path, store):
    assert publish(tmp_path, "one", 0) == publish(tmp_path, "one", 0)
    assert len(releases.versions(store)) == 1
    assert not hidden(store)


def test_a_copy_does_not_change_with_its_source(tmp_path, store):
    publish(tmp_path, "one", 0)
    (tmp_path / "source-one/model/saved_model.pb").write_text("later")
    releases.verify(store)


def test_nothing_is_published_from_bad_parts(tmp_path, store):
    old = publish(tmp_path, "one", 0)
    parts = make_parts(tmp_path / "bad", "bad")
    with pytest.raises(ReleaseError, match=r"missing: \['index'\]"):
        releases.publish(store, {name: path for name, path in parts.items() if name != releases.INDEX}, {})
    with pytest.raises(ReleaseError, match=r"unknown: \['\.\./x'\]"):
        releases.publish(store, {**parts, "../x": tmp_path}, {})
    with pytest.raises(ReleaseError, match=r"evaluation.json of the release should be a file; .*nowhere"):
        releases.publish(store, {**parts, names.EVALUATION_FILE: tmp_path / "nowhere"}, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match="ranking of the release should be a saved model"):
        releases.publish(store, {**parts, releases.RANKING: tmp_path / "empty"}, {})
    for place in ("model/link", "model/variables/link"):
        link = tmp_path / "bad" / place
        link.symlink_to("/etc")
        with pytest.raises(ReleaseError, match="link: a release holds plain files"):
            releases.publish(store, parts, {})
        link.unlink()
    os.mkfifo(tmp_path / "bad/model/pipe")
    with pytest.raises(ReleaseError, match="pipe: a release holds plain files"):
        releases.publish(store, parts, {})
    assert releases.versions(store) == [old]
    assert releases.current(store) == old
    assert not hidden(store)


def test_before_the_first_release(store):
    assert releases.current(store) is None
    assert releases.versions(store) == []
    for call in (releases.resolve, releases.verify, releases.manifest, releases.rollback):
        with pytest.raises(ReleaseError, match="none yet; `twostep run` makes one"):
            call(store)
    assert not store.exists()


# ---- verifying ----


def damage_a_byte(folder: Path) -> None:
    path = folder / "retrieval/variables/variables.index"
    path.write_bytes(b"W" + path.read_bytes()[1:])


def replace_by_a_link(folder: Path) -> None:
    path = folder / "catalogue.arrow"
    path.rename(folder.parent.parent / "elsewhere")
    path.symlink_to(folder.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            damage_a_byte,
            r"retrieval/variables/variables\.index is damaged: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}",
        ),
        (lambda folder: (folder / "evaluation.json").unlink(), r"evaluation\.json is missing; expected sha256"),
        (lambda folder: (folder / "index/more").write_text("x"), "index/more is extra"),
        (replace_by_a_link, r"catalogue\.arrow should be a plain file"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "should be a manifest in JSON"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "format should be 1; found None"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 1}'), "changed after the release was made"),
    ],
)
def test_a_damaged_release_is_refused(tmp_path, store, damage, message):
    other = publish(tmp_path, "one", 0)
    version = publish(tmp_path, "two", 1)
    damage(store / version)
    for call in (releases.verify, releases.resolve):
        with pytest.raises(ReleaseError, match=f"{message}.*Roll back to another: {other}"):
            call(store)
    assert releases.resolve(store, other) == store / other
    assert releases.rollback(store) == other
    with pytest.raises(ReleaseError, match=message):
        releases.rollback(store, version)
    assert releases.current(store) == other


def test_a_manifest_that_drops_a_damaged_file_is_refused(tmp_path, store):
    version = publish(tmp_path, "one", 0)
    written = releases.manifest(store)
    del written["files"]["evaluation.json"]
    (store / version / "evaluation.json").unlink()
    (store / version / names.MANIFEST_FILE).write_text(json.dumps(written))
    with pytest.raises(ReleaseError, match="changed after the release was made"):
        releases.verify(store)


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "", ".", "current", "20250131T120000Z-0123abcd/..", "x\n", "２０250131T120000Z-0123abcd"]
)
def test_a_name_that_is_no_version_is_refused(tmp_path, store, name):
    version = publish(tmp_path, "one", 0)
    for call in (releases.resolve, releases.verify, releases.manifest, releases.rollback):
        with pytest.raises(ReleaseError, match=f"a version should look like .*There are: {version}"):
            call(store, name)


def test_an_unknown_version_is_told_the_known_ones(tmp_path, store):
    version = publish(tmp_path, "one", 0)
    for call in (releases.resolve, releases.verify, releases.manifest, releases.rollback):
        with pytest.raises(ReleaseError, match=f"there is no release 20200101T000000Z-00000000.*There are: {version}"):
            call(store, "20200101T000000Z-00000000")


# ---- rolling back ----


def test_a_rollback_goes_to_what_was_current_before_and_a_second_undoes_it(tmp_path, store):
    one, two, three = (publish(tmp_path, text, minute) for minute, text in enumerate(("one", "two", "three")))
    assert releases.rollback(store) == two == releases.current(store)
    assert releases.rollback(store) == three == releases.current(store)
    assert releases.rollback(store, one) == one == releases.current(store)
    assert releases.rollback(store) == three
    assert releases.versions(store) == [three, two, one]


def test_the_only_release_has_nothing_before_it(tmp_path, store):
    version = publish(tmp_path, "one", 0)
    with pytest.raises(ReleaseError, match=f"no release was current before {version}"):
        releases.rollback(store)
    assert releases.current(store) == version


def test_a_damaged_current_is_named_and_mended(tmp_path, store):
    one, two = publish(tmp_path, "one", 0), publish(tmp_path, "two", 1)
    (store / "current").write_text("../../etc\n")
    with pytest.raises(ReleaseError, match=f"should hold the name of a version; found '../../etc'.*{two}, {one}"):
        releases.resolve(store)
    assert releases.rollback(store, one) == one == releases.current(store)
    (store / "current").write_bytes(b"\xff")
    assert publish(tmp_path, "three", 2) == releases.current(store)


def test_folders_that_are_no_release_are_not_listed(tmp_path, store):
    version = publish(tmp_path, "one", 0)
    (store / "20250131T120100Z-00000000").mkdir()  # no manifest
    (store / "notes").mkdir()
    (store / "notes" / names.MANIFEST_FILE).write_text("{}")
    assert releases.versions(store) == [version]


# ---- several at once, and killed ----


def _publish_many(root: Path, source: str, text: str, start: multiprocessing.Barrier) -> None:
    parts = make_parts(root / source, text)
    start.wait()
    for minute in range(10):
        releases.publish(root / "releases", parts, {}, NOON + timedelta(minutes=minute))


def test_publishers_at_once_do_not_mix(tmp_path, store):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    work = (("a", "one"), ("b", "two"), ("c", "two"))  # the last two meet at the same names
    processes = [context.Process(target=_publish_many, args=(tmp_path, *each, start)) for each in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = releases.versions(store)
    assert len(found) == 20
    for version in found:
        releases.verify(store, version)
    assert releases.current(store) in found
    assert releases.rollback(store) in found
    assert not hidden(store)


def test_a_publisher_at_work_is_not_swept_away_and_a_dead_one_is(tmp_path, store):
    publish(tmp_path, "one", 0)
    dead = store / ".1.dead.partial"  # process 1 lives, but it is not the publisher
    (dead / "retrieval").mkdir(parents=True)
    with releases._partial_folder(store) as partial:
        assert not dead.exists()
        publish(tmp_path, "two", 1)
        assert partial.is_dir()
    assert not partial.exists()


def _killed_at(number: int, root: Path, text: str, minute: int) -> bool:
    """Publish in a child that kills itself at its n-th step; whether it came to that.

    A step is an operation on the file system that Python's audit events tell of, or a line that writes a file.
    """
    child = os.fork()
    if child == 0:
        seen = 0

        def step() -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event: str, _: tuple) -> None:
            if event in ("open", "fcntl.flock") or event.startswith(("os.", "shutil.", "tempfile.")):
                step()

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code.co_filename != durable.__file__:
                return None
            if event == "line":
                step()
            return trace

        code = 1
        try:
            sys.addaudithook(audit)
            sys.settrace(trace)
            publish(root, text, minute)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_a_kill_at_any_step_leaves_a_whole_release_current(tmp_path, store):
    minutes = iter(range(10_000))
    make_parts(tmp_path / "source-new", "new")
    outcomes: list[str] = []
    while True:
        old = publish(tmp_path, "old", next(minutes))  # after every kill but the first: publishing goes on
        assert releases.current(store) == old
        assert not hidden(store)
        (store / ".1.dead.partial/retrieval").mkdir(parents=True)  # so that the sweep is killed too
        if not _killed_at(len(outcomes) + 1, tmp_path, "new", next(minutes)):
            break
        now = releases.current(store)
        outcomes.append("old" if now == old else "new")
        for version in releases.versions(store)[:2]:
            releases.verify(store, version)
        if now != old:  # killed after the swap: the rollback knows the way back
            assert releases.rollback(store) == old
    assert outcomes == sorted(outcomes, reverse=True)  # it came into force once, at one step
    assert outcomes.count("old") > 100
    assert outcomes.count("new") > 1
