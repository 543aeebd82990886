"""The commands and components on a bucket: `twostep release`, ReleasePusher and DriftDetector."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

import json
from pathlib import Path

# isort: split
import pytest
import release_parts
from facts import lacking
from tfx.types import standard_artifacts

from components.drift_detector.executor import Executor as DriftDetector
from components.drift_detector.settings import DetectorSettings, Drift
from components.release_pusher.executor import Executor as ReleasePusher
from components.release_pusher.settings import PusherSettings
from components.types import BaselineRelease, CandidateIndex, DriftReport, RecommenderEvaluation, Release
from core import names
from core.release.store import open_store
from pipeline import config
from pipeline.cli import main
from pipeline.config import paths
from serving.settings import ServingSettings
from transform.features import Features

SERVING = ServingSettings(name="films", features=Features(), candidates=50, exclude_seen=True)


@pytest.fixture
def versions(bucket, tmp_path) -> list[str]:
    """Return the versions of three releases in the bucket, oldest first."""
    store = open_store(bucket.location)
    return [
        store.publish(release_parts.make_parts(tmp_path / text, text), {"name": text})
        for text in ("one", "two", "three")
    ]


@pytest.fixture
def configuration(bucket, tmp_path) -> Path:
    file = tmp_path / "films.yaml"
    file.write_text(
        f"name: films\nrun_folder: runs\ndata: {{root: tables}}\nrelease: {{folder: '{bucket.location}/', keep: 2}}\n"
    )
    return file


def test_the_configuration_keeps_the_uri(bucket, configuration):
    loaded = config.load(configuration)
    assert paths.releases_folder(loaded) == loaded.release.folder == bucket.location


@pytest.mark.parametrize("by_uri", [True, False])
def test_releases_are_managed_by_uri_and_by_configuration(bucket, configuration, versions, capsys, by_uri):
    place = bucket.location if by_uri else str(configuration)
    one, two, three = versions
    assert main(["release", "list", place]) == 0
    assert capsys.readouterr().out == f"{three}  in force\n{two}  in force before\n{one}\n"
    assert main(["release", "show", place]) == 0
    assert lacking(capsys.readouterr().out, f"{three} (in force) … {bucket.location}/{three} … three") == []
    assert main(["release", "verify", place, two]) == 0
    assert lacking(capsys.readouterr().out, f"{two} is intact") == []
    assert main(["release", "rollback", place]) == 0
    assert lacking(capsys.readouterr().out, f"release {two} is in force instead of {three}") == []
    assert main(["release", "gc", place, "--keep", "2", "--json"]) == 0
    expected = {"deleted": [f"{bucket.location}/{one}"], "left": [three, two], "dry_run": False}
    assert json.loads(capsys.readouterr().out) == expected
    assert main(["release", "verify", place, one]) == 1
    assert lacking(capsys.readouterr().err, f"no release {one} … {three}, {two}") == []
    assert main(["release", "list", f"{bucket.location}/{two}"]) == 2
    assert "one release" in capsys.readouterr().err


def test_a_wrong_uri_is_wrong_use_and_a_missing_bucket_a_failure(bucket, capsys):
    assert main(["release", "list", f"{bucket.kind}://BUCKET/x"]) == 2
    assert "lower-case" in capsys.readouterr().err
    assert main(["release", "list", f"{bucket.kind}://no-such-bucket/x"]) == 1
    assert lacking(capsys.readouterr().err, "twostep: … no-such-bucket does not exist") == []


def artifact(kind: type, folder: Path, **properties: object):
    """Return an artifact in a folder, with custom properties."""
    made = kind()
    made.uri, made.id = str(folder), 1
    for name, value in properties.items():
        (made.set_int_custom_property if isinstance(value, int) else made.set_string_custom_property)(name, value)
    return made


def test_components_publish_to_a_bucket_and_compare_with_it(bucket, tmp_path):
    parts = release_parts.make_parts(tmp_path / "parts")
    statistics = tmp_path / "statistics" / f"Split-{names.ALL}"
    statistics.mkdir(parents=True)
    (statistics / names.STATISTICS_FILE).write_bytes(b"\n\x02\x10\x05")  # one data set with 5 examples
    for step in ("retrieval", "ranking"):
        (tmp_path / step / "Format-Serving").mkdir(parents=True)
        (tmp_path / step / "Format-Serving/saved_model.pb").write_text(step)
    served = tmp_path / "serving"
    inputs = {
        "retrieval_model": artifact(standard_artifacts.Model, tmp_path / "retrieval"),
        "ranking_model": artifact(standard_artifacts.Model, tmp_path / "ranking"),
        "candidate_index": artifact(CandidateIndex, parts["index"]),
        "evaluation": artifact(RecommenderEvaluation, parts["index"].parent),
        "blessing": artifact(standard_artifacts.ModelBlessing, tmp_path, blessed=1),
        "examples": artifact(standard_artifacts.Examples, parts["users"].parent),
        "items_statistics": artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics"),
    }
    for step in ("retrieval", "ranking"):
        destination = str(served / step / "10")
        inputs[f"{step}_pushed"] = artifact(
            standard_artifacts.PushedModel, tmp_path, pushed=1, pushed_destination=destination
        )
    settings = PusherSettings(releases=bucket.location, name="films", seed=7, keep=2, serving=SERVING)
    made = []
    for number in range(4):
        (tmp_path / "retrieval/Format-Serving/saved_model.pb").write_text(f"model {number}")
        release = artifact(Release, tmp_path / "release")
        properties = {"settings": settings.model_dump_json(), "code_digest": "x"}
        ReleasePusher().Do({key: [each] for key, each in inputs.items()}, {"release": [release]}, properties)
        made.append(release.get_string_custom_property("version"))
        assert release.uri == str(tmp_path / "release")
        assert release.get_string_custom_property("path") == f"{bucket.location}/{made[-1]}"
    store = open_store(bucket.location)
    assert store.versions() == made[:1:-1]
    assert store.manifest()["served"] == {step: f"../serving/{step}/10" for step in ("retrieval", "ranking")}
    with store.reading() as folder:
        assert (folder / "retrieval/saved_model.pb").read_text() == "model 3"
    output = artifact(DriftReport, tmp_path / "drift")
    Path(output.uri).mkdir()
    detector = DetectorSettings(bounds=Drift(), columns={"items": {}}, releases=bucket.location)
    baseline = artifact(BaselineRelease, tmp_path, version=made[-1])
    DriftDetector().Do(
        {"items_statistics": [inputs["items_statistics"]], "baseline_release": [baseline]},
        {"drift": [output]},
        {"settings": detector.model_dump_json()},
    )
    report = json.loads((tmp_path / "drift" / names.DRIFT_FILE).read_text())
    assert (report["release"], report["not_compared"]) == (made[-1], None)
