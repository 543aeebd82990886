"""The executor of ReleasePusher on artifacts in files: publishing, holding back, and the cache of TFX."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

import shutil
from pathlib import Path

# isort: split
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from components.release_pusher.component import ReleasePusher
from components.release_pusher.executor import Executor
from components.release_pusher.settings import PusherSettings
from components.types import CandidateIndex, RecommenderEvaluation, Release
from core import names
from core.errors import ReleaseError, UsageError
from core.files import write_json
from core.release import pushed, reader, signing
from serving.settings import ServingSettings
from transform.features import Features

INPUTS = {
    "retrieval_model": standard_artifacts.Model,
    "ranking_model": standard_artifacts.Model,
    "candidate_index": CandidateIndex,
    "retrieval_pushed": standard_artifacts.PushedModel,
    "ranking_pushed": standard_artifacts.PushedModel,
    "evaluation": RecommenderEvaluation,
    "blessing": standard_artifacts.ModelBlessing,
    "examples": standard_artifacts.Examples,
    "items_statistics": standard_artifacts.ExampleStatistics,
}
SERVING = ServingSettings(name="films", features=Features(), candidates=50, exclude_seen=True)
EVALUATION = {
    "headline": {"two_step": {"ndcg@10": 0.25}},
    "split": {"method": "temporal", "test": 0.1},
    "more": list(range(9)),
}
PROPERTIES = {"retrieval_pushed": {"pushed": 1}, "ranking_pushed": {"pushed": 1}, "blessing": {"blessed": 1}}


class Doubler(tf.Module):
    """A minimal model; ReleasePusher works with any."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        return x * 2.0


@pytest.fixture
def artifacts(tmp_path):
    """Return input key → a folder with the files that the upstream node would write."""
    folders = {key: tmp_path / "artifacts" / key for key in INPUTS}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for key in ("retrieval_model", "ranking_model"):
        tf.saved_model.save(Doubler(), str(folders[key] / "Format-Serving"))
    (folders["candidate_index"] / "items.faiss").write_text("vectors")
    (folders["candidate_index"] / names.CATALOGUE_FILE).write_text("catalogue")
    write_json(folders["evaluation"] / names.EVALUATION_FILE, EVALUATION)
    (folders["examples"] / names.USERS_FOLDER).mkdir()
    counted = folders["items_statistics"] / f"Split-{names.ALL}"
    counted.mkdir()
    (counted / names.STATISTICS_FILE).write_text("counted")
    (folders["examples"] / names.USERS_FOLDER / "00000-of-00001.arrow").write_text("users")
    return folders


def do(
    artifacts: dict[str, Path],
    store: Path | str,
    properties: dict[str, dict[str, object]] = PROPERTIES,
    signing_key: str | None = None,
) -> Release:
    inputs: dict[str, list[types.Artifact]] = {}
    for number, (key, artifact_type) in enumerate(INPUTS.items(), start=1):
        artifact = artifact_type()
        artifact.uri, artifact.id = str(artifacts[key]), number
        for name, value in properties.get(key, {}).items():
            set_property = (
                artifact.set_int_custom_property if isinstance(value, int) else artifact.set_string_custom_property
            )
            set_property(name, value)
        inputs[key] = [artifact]
    release = Release()
    release.uri = str(artifacts["blessing"].parent / "release")
    settings = PusherSettings(
        releases=str(store), name="films", seed=7, keep=2, serving=SERVING, signing_key=signing_key
    )
    parameters = {"settings": settings.model_dump_json(), "code_digest": "x"}
    Executor().Do(inputs, {"release": [release]}, parameters)
    return release


def test_a_blessed_release_is_published(artifacts, tmp_path):
    release = do(artifacts, tmp_path / "releases")
    version = reader.current(tmp_path / "releases")
    folder = reader.resolve(tmp_path / "releases")
    assert release.get_int_custom_property("released") == 1
    assert release.get_string_custom_property("version") == version
    assert release.get_string_custom_property("path") == release.uri == str(folder)
    written = reader.manifest(tmp_path / "releases")
    assert release.get_string_custom_property("content_digest") == written["content_digest"]
    assert written["facts"] == {
        "name": "films",
        "seed": 7,
        "serving": SERVING.model_dump(mode="json"),
        "metrics": {"two_step": {"ndcg@10": 0.25}},
        "split": {"method": "temporal", "test": 0.1},
        "lineage": {},
        "ml_metadata": {key: number for number, key in enumerate(INPUTS, start=1)},
    }
    assert {path.name for path in (folder / "index").iterdir()} == {"items.faiss"}
    assert (folder / names.CATALOGUE_FILE).read_text() == "catalogue"
    assert (folder / "statistics/items" / names.STATISTICS_FILE).read_text() == "counted"
    shutil.rmtree(tmp_path / "artifacts")
    for step in (reader.RETRIEVAL, reader.RANKING):
        assert tf.saved_model.load(str(folder / step))(tf.constant([3.0])).numpy() == [6.0]


def test_a_release_is_signed_with_the_key_that_is_configured(artifacts, tmp_path):
    private, public = signing.make_keys(tmp_path / "keys")
    do(artifacts, tmp_path / "releases", signing_key=str(private))
    reader.verify(tmp_path / "releases", None, [public])
    assert (reader.resolve(tmp_path / "releases") / "users/00000-of-00001.arrow").read_text() == "users"


@pytest.mark.parametrize(
    ("key", "changed", "reason"),
    [
        ("blessing", {"blessed": 0}, r"bless.*evaluation\.json"),
        ("blessing", {"blessed": 0, "blessing_message": "ndcg@10 is low"}, "^ndcg@10 is low$"),
        ("blessing", {}, "bless"),
        ("retrieval_pushed", {"pushed": 0}, "retrieval.*not pushed"),
        ("ranking_pushed", {"pushed": 0}, "ranking.*not pushed"),
    ],
)
def test_without_a_blessing_there_is_no_release(artifacts, tmp_path, caplog, key, changed, reason):
    old = do(artifacts, tmp_path / "releases").get_string_custom_property("version")
    release = do(artifacts, tmp_path / "releases", {**PROPERTIES, key: changed})
    assert release.get_int_custom_property("released") == 0
    assert release.has_custom_property("released")
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(release.get_string_custom_property("reason"))
    assert any(record.levelname == "WARNING" and "no release" in record.message for record in caplog.records)
    assert reader.versions(tmp_path / "releases") == [old]


def test_old_releases_go_with_what_was_pushed_for_them(artifacts, tmp_path):
    store, serving = tmp_path / "releases", tmp_path / "serving"
    for number in range(10, 15):
        properties = dict(PROPERTIES)
        for step in (reader.RETRIEVAL, reader.RANKING):
            destination = serving / step / str(number)
            shutil.copytree(artifacts[f"{step}_model"] / "Format-Serving", destination)
            properties[f"{step}_pushed"] = {"pushed": 1, "pushed_destination": str(destination)}
        (artifacts["candidate_index"] / "items.faiss").write_text(str(number))
        do(artifacts, store, properties)
    # The names of releases of the same second do not show which is newest, so more than the last two may be kept.
    left = {Path(reader.manifest(store, each)["served"]["ranking"]).name for each in reader.versions(store)}
    assert {"13", "14"} <= left < {"10", "11", "12", "13", "14"}
    for step in (reader.RETRIEVAL, reader.RANKING):
        assert {path.name for path in (serving / step).iterdir()} == left
    assert reader.manifest(store)["served"] == {step: f"../serving/{step}/14" for step in ("retrieval", "ranking")}
    config = text_format.Parse((store / pushed.CONFIG_FILE).read_text(), model_server_config_pb2.ModelServerConfig())
    assert [(each.name, each.base_path) for each in config.model_config_list.config] == [
        (step, str(serving / step)) for step in ("retrieval", "ranking")
    ]
    for each in config.model_config_list.config:
        assert list(each.model_version_policy.specific.versions) == [14]
        model = tf.saved_model.load(f"{each.base_path}/14")
        assert model(tf.constant([3.0])).numpy() == [6.0]


def test_a_release_is_out_even_if_what_is_old_cannot_be_deleted(artifacts, tmp_path, caplog):
    store, serving = tmp_path / "releases", tmp_path / "serving"
    for step in (reader.RETRIEVAL, reader.RANKING):
        shutil.copytree(artifacts[f"{step}_model"] / "Format-Serving", serving / step / "10")
    (serving / "retrieval" / ".9.partial").write_text("a file, where only folders are deleted")
    properties = {
        **PROPERTIES,
        **{f"{step}_pushed": {"pushed": 1, "pushed_destination": str(serving / step / "10")} for step in pushed.STEPS},
    }
    version = do(artifacts, store, properties).get_string_custom_property("version")
    assert reader.current(store) == version
    assert any("were not deleted" in record.message for record in caplog.records)


def test_what_cannot_be_released_is_an_error(artifacts, tmp_path):
    with pytest.raises(UsageError, match="ftp://bucket/releases"):
        do(artifacts, "ftp://bucket/releases")
    (artifacts["evaluation"] / names.EVALUATION_FILE).unlink()
    with pytest.raises(ReleaseError, match=r"evaluation\.json"):
        do(artifacts, tmp_path / "releases")
    assert reader.versions(tmp_path / "releases") == []


def test_the_cache_notices_a_release_that_was_deleted(artifacts, tmp_path):
    store = tmp_path / "releases"

    def run() -> str:
        importers = {
            key: tfx.dsl.Importer(
                source_uri=str(artifacts[key]), artifact_type=artifact_type, custom_properties=PROPERTIES.get(key)
            ).with_id(key)
            for key, artifact_type in INPUTS.items()
        }
        channels = {key: importer.outputs["result"] for key, importer in importers.items()}
        items_statistics = channels.pop("items_statistics")
        pusher = ReleasePusher(
            **channels,
            statistics={names.ITEMS: items_statistics},
            settings=PusherSettings(releases=str(store), name="films", seed=7, keep=5, serving=SERVING),
            code_digest="x",
        )
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="films",
                pipeline_root=str(tmp_path / "root"),
                components=[*importers.values(), pusher],
                metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                    str(tmp_path / "metadata.sqlite")
                ),
                enable_cache=True,
            )
        )
        version = reader.current(store)
        assert version is not None
        return version

    first = run()
    manifest_file = store / first / names.MANIFEST_FILE
    written = manifest_file.stat().st_mtime_ns
    assert run() == first  # from the cache
    assert reader.versions(store) == [first]
    assert manifest_file.stat().st_mtime_ns == written
    shutil.rmtree(store / first)
    again = run()
    assert reader.versions(store) == [again]
    reader.verify(store)
