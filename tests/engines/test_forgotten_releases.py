"""The outputs of ReleasePusher whose releases were deleted from their bucket, which the cache should not return."""

import release_parts
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from store_processes import NOON

from core.names import RELEASE_TYPE
from core.release.store import open_store
from pipeline.lineage.database import SQLite
from pipeline.runners import retention


def test_only_outputs_whose_releases_were_deleted_are_forgotten(bucket, tmp_path):
    store = open_store(bucket.location)
    parts = [release_parts.make_parts(tmp_path / name, name) for name in ("one", "two")]
    addresses = [store.address(store.publish(part, {}, created=NOON)) for part in parts]
    addresses.append(f"{bucket.location}-of-another/{addresses[0].rpartition('/')[2]}")
    database = SQLite(tmp_path / "metadata.sqlite")
    assert retention.forget_deleted(database, store) == []  # before the first run
    opened = MetadataStore(database.message())
    type_id = opened.put_artifact_type(mlmd.ArtifactType(name=RELEASE_TYPE))
    folders = []
    for number, address in enumerate(addresses):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        artifact = mlmd.Artifact(type_id=type_id, uri=str(folders[-1]))
        artifact.custom_properties["path"].string_value = address
        opened.put_artifacts([artifact])
    assert retention.forget_deleted(database, store) == []
    gone = addresses[0].rpartition("/")[2]
    store._change(lambda now: now.without([gone]))
    assert retention.forget_deleted(database, store) == addresses[:1]
    assert [folder.is_dir() for folder in folders] == [False, True, True]
    assert retention.forget_deleted(database, store) == []
    assert retention.forget_deleted(database, open_store(tmp_path / "releases")) == []  # TFX sees a folder itself
