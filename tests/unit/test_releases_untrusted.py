"""Untrusted releases: signatures, and paths that may not leave the folder of the release."""

import json
from pathlib import Path

import pytest
from facts import facts

from core import names
from core.errors import ReleaseError, UsageError
from core.release import pushed, reader, signing, writer
from pipeline.commands import release_source


@pytest.fixture
def keys(tmp_path):
    """Return the files of a private key and its public key."""
    return signing.make_keys(tmp_path / "keys")


def rewrite(folder: Path, **changes) -> None:
    """Change a manifest as an attacker would, who can compute its digest but has no private key."""
    path = folder / names.MANIFEST_FILE
    written = json.loads(path.read_text()) | changes
    written["seal"] = reader.seal(written)
    path.write_text(json.dumps(written))


# ---- signatures ----


@pytest.fixture
def signed(store, make_parts, tmp_path, keys):
    return writer.publish(store, make_parts(tmp_path / "source"), {"name": "films"}, signing_key=keys[0])


def test_a_signed_release_is_read_with_its_key_and_without(store, signed, keys):
    reader.verify(store, signed)
    reader.verify(store, signed, [keys[1]])
    assert writer.rollback(store, signed, [keys[1]]) == signed


def test_a_release_signed_with_another_key_is_refused(store, signed, tmp_path):
    _, other = signing.make_keys(tmp_path / "other")
    for call in (reader.verify, reader.manifest, writer.rollback):
        with pytest.raises(ReleaseError, match="trusted keys"):
            call(store, signed, [other])


def test_one_of_several_trusted_keys_will_do(store, signed, keys, tmp_path):
    _, other = signing.make_keys(tmp_path / "other")
    reader.verify(store, signed, [other, keys[1]])


def test_an_unsigned_release_is_refused_where_a_key_is_trusted(publish, store, keys):
    publish("one", 0)
    with pytest.raises(ReleaseError, match="trusted keys"):
        reader.verify(store, None, [keys[1]])


@pytest.mark.parametrize("change", [{"facts": {"name": "else"}}, {"files": {}}, {"signature": "x"}, {"signature": 3}])
def test_a_seal_that_anyone_can_compute_is_not_enough(store, signed, keys, change):
    rewrite(store / signed, **change)
    with pytest.raises(ReleaseError, match="trusted keys"):
        reader.manifest(store, signed, [keys[1]])


def test_the_private_key_is_its_owners_alone_and_never_overwritten(keys):
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    before = private.read_bytes()
    with pytest.raises(ReleaseError, match=r"release-key\.pem.*exists"):
        signing.make_keys(private.parent)
    assert private.read_bytes() == before
    assert b"PRIVATE" not in public.read_bytes()


def test_a_file_that_is_no_key_is_named(store, make_parts, tmp_path, keys, publish):
    other = tmp_path / "no-key.pem"
    other.write_text("garbage")
    with pytest.raises(ReleaseError, match=facts("no-key.pem … Ed25519 private key")):
        writer.publish(store, make_parts(tmp_path / "source"), {}, signing_key=other)
    assert reader.versions(store) == []
    publish("one", 0)
    for wrong in (other, tmp_path / "missing", keys[0]):
        with pytest.raises(ReleaseError, match="Ed25519 public key"):
            reader.verify(store, None, [wrong])


@pytest.mark.parametrize(
    "change",
    [
        {"facts": []},
        {"facts": None},
        {"files": []},
        {"files": {"x": "sha"}},
        {"files": {"x": {"sha256": 1, "size": 2}}},
        {"served": [1]},
        {"served": {"retrieval": 5}},
    ],
)
def test_a_manifest_of_another_shape_is_one_clear_error(publish, store, change):
    version = publish("one", 0)
    rewrite(store / version, **change)
    for call in (reader.manifest, reader.verify, writer.rollback):
        with pytest.raises(ReleaseError, match=facts("files … served … facts")):
            call(store, version)


def test_a_manifest_nested_without_end_is_one_clear_error(publish, store):
    version = publish("one", 0)
    (store / version / names.MANIFEST_FILE).write_text("[" * 100_000)
    with pytest.raises(ReleaseError, match=facts("manifest.json … JSON")):
        reader.manifest(store, version)


# ---- paths ----


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/retrieval/1",
        "/etc/retrieval/1",
        "../../retrieval/1",
        "../serving/../../elsewhere/retrieval/1",
        "../serving/ranking/1",
        "../serving/retrieval/latest",
        "../serving/retrieval/1/..",
    ],
)
def test_a_manifest_cannot_name_a_folder_outside_the_runs(publish, store, push, path, tmp_path):
    one = publish("one", 0, served=push(10))
    publish("two", 1, served=push(20))
    (tmp_path / "elsewhere" / "retrieval").mkdir(parents=True)
    pair = reader.manifest(store, one)["served"]
    rewrite(store / one, served=pair | {"retrieval": path})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReleaseError, match="beside"):
        writer.rollback(store, one)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_was_pushed_elsewhere_makes_no_release(publish, store, tmp_path):
    with pytest.raises(ReleaseError, match="beside"):
        publish("one", 0, served={step: tmp_path / "a" / "b" / step / "1" for step in pushed.STEPS})
    assert reader.versions(store) == []


# ---- the folder that a command gets ----


def test_a_copied_release_is_read_under_any_name(publish, store, tmp_path):
    version = publish("one", 0, {"name": "films"})
    copy = tmp_path / "copy of it"
    (store / version).rename(copy)
    source = release_source.find(copy)
    with release_source.reading(source, None) as folder:
        assert folder == copy
    with pytest.raises(UsageError, match=facts(f"{copy} … one release")), release_source.reading(source, version):
        pass
    link = tmp_path / "link"
    link.symlink_to(copy)
    with release_source.reading(release_source.find(link), None) as folder:
        assert folder == copy
    (copy / "evaluation.json").write_text("changed")
    with pytest.raises(ReleaseError, match=facts("evaluation.json … damaged")), release_source.reading(source, None):
        pass


def test_a_folder_of_releases_gives_the_current_or_the_requested_release(publish, store):
    one, two = publish("one", 0), publish("two", 1)
    for version, expected in ((None, two), (one, one)):
        with release_source.reading(release_source.find(store), version) as folder:
            assert folder.name == expected


def test_the_key_given_for_a_folder_counts(store, signed, keys, tmp_path):
    _, other = signing.make_keys(tmp_path / "other")
    with release_source.reading(release_source.find(store, keys[1]), None):
        pass
    for place in (store, store / signed):
        with (
            pytest.raises(ReleaseError, match="signed"),
            release_source.reading(release_source.find(place, other), None),
        ):
            pass


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere: "):
        release_source.find(tmp_path / "nowhere")
