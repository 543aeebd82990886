"""The store of releases: atomic publishing, verification, and rollback."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from facts import facts

from core import names
from core.errors import ReleaseError
from core.release import reader, writer

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)


def hidden(store: Path) -> list[str]:
    return [path.name for path in store.iterdir() if path.name.endswith(".partial")]


# ---- publishing ----


def test_a_release_holds_its_parts_and_a_manifest_of_them(publish, store):
    version = publish("one", 0, {"name": "films", "seed": 7})
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
        "statistics/items/FeatureStats.pb",
        "users/00000-of-00001.arrow",
    ]
    written = reader.manifest(store)
    assert sorted(written["files"]) == [name for name in found if name != "manifest.json"]
    assert written["files"]["catalogue.arrow"] == {
        "sha256": "d2504e52b8b07484a2b690e7ffaedeabe91320c09012844d0f7c81c2ec72e882",
        "size": 9,
    }
    assert written["facts"] == {"name": "films", "seed": 7}
    assert written["created"] == "2025-01-31T12:00:00+00:00"
    assert version == written["version"] == f"20250131T120000Z-{written['content_digest'][:8]}"
    assert (store / "current").read_text() == f"{version}\n"
    assert reader.resolve(store) == store / version
    assert not hidden(store)
    assert (store / version).stat().st_mode & 0o777 == 0o755
    assert not (store / version / "catalogue.arrow").stat().st_mode & 0o111


def test_the_content_digest_knows_neither_time_nor_facts(publish, store):
    digests = {}
    for minute, text in enumerate(("same", "same", "other")):
        version = publish(text, minute, {"minute": minute})
        digests[version] = reader.manifest(store, version)["content_digest"]
    first, second, other = digests.values()
    assert first == second != other
    assert reader.versions(store) == sorted(digests, reverse=True)


def test_the_random_fingerprint_of_a_model_is_checked_but_is_no_content(make_parts, tmp_path, store):
    parts = make_parts(tmp_path / "source")
    digests = []
    for minute, fingerprint in enumerate(("random", "other")):
        (parts[reader.RETRIEVAL] / "fingerprint.pb").write_text(fingerprint)
        writer.publish(store, parts, {}, created=NOON + timedelta(minutes=minute))
        digests.append(reader.manifest(store)["content_digest"])
    assert digests[0] == digests[1]
    (reader.resolve(store) / "retrieval/fingerprint.pb").write_text("damaged")
    with pytest.raises(ReleaseError, match=facts("retrieval/fingerprint.pb … damaged")):
        reader.verify(store)


def test_the_same_release_twice_in_a_second_is_one(publish, store):
    assert publish("one", 0) == publish("one", 0)
    assert len(reader.versions(store)) == 1
    assert not hidden(store)


def test_a_copy_does_not_change_with_its_source(publish, tmp_path, store):
    publish("one", 0)
    (tmp_path / "source-one/model/saved_model.pb").write_text("later")
    reader.verify(store)


def test_nothing_is_published_from_bad_parts(publish, make_parts, tmp_path, store):
    old = publish("one", 0)
    parts = make_parts(tmp_path / "bad", "bad")
    with pytest.raises(ReleaseError, match=facts("missing … ['index']")):
        writer.publish(store, {name: path for name, path in parts.items() if name != reader.INDEX}, {})
    with pytest.raises(ReleaseError, match=facts("unknown … ['../x']")):
        writer.publish(store, {**parts, "../x": tmp_path}, {})
    with pytest.raises(ReleaseError, match=facts("evaluation.json … nowhere")):
        writer.publish(store, {**parts, names.EVALUATION_FILE: tmp_path / "nowhere"}, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError, match=facts("ranking … empty")):
        writer.publish(store, {**parts, reader.RANKING: tmp_path / "empty"}, {})
    for place in ("model/link", "model/variables/link"):
        link = tmp_path / "bad" / place
        link.symlink_to("/etc")
        with pytest.raises(ReleaseError, match=facts("link: … regular file")):
            writer.publish(store, parts, {})
        link.unlink()
    os.mkfifo(tmp_path / "bad/model/pipe")
    with pytest.raises(ReleaseError, match=facts("pipe: … regular file")):
        writer.publish(store, parts, {})
    assert reader.versions(store) == [old]
    assert reader.current(store) == old
    assert not hidden(store)


def test_before_the_first_release(store):
    assert reader.current(store) is None
    assert reader.versions(store) == []
    for call in (reader.resolve, reader.verify, reader.manifest, writer.rollback):
        with pytest.raises(ReleaseError, match=facts("no release … `twostep run`")):
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


def change_a_fact(folder: Path) -> None:
    path = folder / names.MANIFEST_FILE
    path.write_text(path.read_text().replace('"candidates": 50', '"candidates": 51'))


def become_a_link(folder: Path) -> None:
    folder.rename(folder.parent.parent / "moved")
    folder.symlink_to(folder.parent.parent / "moved")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            damage_a_byte,
            r"retrieval/variables/variables\.index.*damaged.*sha256.*[0-9a-f]{64}.*[0-9a-f]{64}",
        ),
        (lambda folder: (folder / "evaluation.json").unlink(), r"evaluation\.json.*missing.*sha256"),
        (lambda folder: (folder / "index/more").write_text("x"), "index/more.*manifest"),
        (replace_by_a_link, r"catalogue\.arrow.*regular file"),
        (lambda folder: (folder / "index/more").symlink_to("/etc"), "index/more.*manifest"),
        (become_a_link, "as a folder"),
        (change_a_fact, "changed"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json.*missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: .* JSON"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 0}'),
            f"format.*{reader.FORMAT}.*found 0",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{}"), f"format.*{reader.FORMAT}.*found None"),
        (
            lambda folder: (folder / "manifest.json").write_text(f'{{"format": {reader.FORMAT}}}'),
            "changed",
        ),
    ],
)
def test_a_damaged_release_is_refused(publish, store, damage, message):
    other = publish("one", 0)
    version = publish("two", 1, {"serving": {"candidates": 50}})
    damage(store / version)
    for call in (reader.verify, reader.resolve):
        with pytest.raises(ReleaseError, match=f"(?s){message}.*{other}"):
            call(store)
    assert reader.resolve(store, other) == store / other
    assert writer.rollback(store) == other
    with pytest.raises(ReleaseError, match=message):
        writer.rollback(store, version)
    assert reader.current(store) == other


def test_a_manifest_that_drops_a_damaged_file_is_refused(publish, store):
    version = publish("one", 0)
    written = reader.manifest(store)
    del written["files"]["evaluation.json"]
    (store / version / "evaluation.json").unlink()
    (store / version / names.MANIFEST_FILE).write_text(json.dumps(written))
    with pytest.raises(ReleaseError, match=facts(f"{version} … changed")):
        reader.verify(store)


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "", ".", "current", "20250131T120000Z-0123abcd/..", "x\n", "２０250131T120000Z-0123abcd"]
)
def test_a_name_that_is_no_version_is_refused(publish, store, name):
    version = publish("one", 0)
    for call in (reader.resolve, reader.verify, reader.manifest, writer.rollback):
        with pytest.raises(ReleaseError, match=facts(f"version … {version}")):
            call(store, name)


def test_the_error_of_an_unknown_version_lists_the_known_versions(publish, store):
    version = publish("one", 0)
    for call in (reader.resolve, reader.verify, reader.manifest, writer.rollback):
        with pytest.raises(ReleaseError, match=facts(f"20200101T000000Z-00000000 … {version}")):
            call(store, "20200101T000000Z-00000000")


# ---- rolling back ----


def test_a_rollback_goes_to_what_was_current_before_and_a_second_undoes_it(publish, store):
    one, two, three = (publish(text, minute) for minute, text in enumerate(("one", "two", "three")))
    assert writer.rollback(store) == two == reader.current(store)
    assert writer.rollback(store) == three == reader.current(store)
    assert writer.rollback(store, one) == one == reader.current(store)
    assert writer.rollback(store) == three
    assert reader.versions(store) == [three, two, one]


def test_the_only_release_has_nothing_before_it(publish, store):
    version = publish("one", 0)
    with pytest.raises(ReleaseError, match=facts(f"before {version}")):
        writer.rollback(store)
    assert reader.current(store) == version


def test_a_damaged_current_is_named_and_mended(publish, store):
    one, two = publish("one", 0), publish("two", 1)
    (store / "current").write_text("../../etc\n")
    with pytest.raises(ReleaseError, match=facts(f"found '../../etc' … {two}, {one}")):
        reader.resolve(store)
    assert writer.rollback(store, one) == one == reader.current(store)
    (store / "current").unlink()
    with pytest.raises(ReleaseError, match=facts(f"in force … {two}, {one} … rollback`")):
        reader.resolve(store)
    (store / "current").write_bytes(b"\xff")
    assert publish("three", 2) == reader.current(store)


def test_folders_that_are_no_release_are_not_listed(publish, store):
    version = publish("one", 0)
    (store / "20250131T120100Z-00000000").mkdir()  # a release without a manifest
    (store / "notes").mkdir()
    (store / "notes" / names.MANIFEST_FILE).write_text("{}")
    assert reader.versions(store) == [version]
