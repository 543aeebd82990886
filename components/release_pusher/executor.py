"""The executor of ReleasePusher: publishes a release from its artifacts."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.release_pusher.settings import PusherSettings
from core import names, progress
from core.errors import ReleaseError, StorageError
from core.files import read_json
from core.release import reader
from core.release.facts import Facts
from core.release.store import ReleaseStore, open_store
from core.storage import uris

LINEAGE = "lineage"  # the parameter with the lineage of the inputs, as JSON
_REASON = "blessing_message"  # the property with the reason, named as that of TFX's Evaluator


class Executor(base_executor.BaseExecutor):
    """See `components.release_pusher.component.ReleasePusher`."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publish the release and describe it in the output artifact; without a release, describe the reason there.

        Raises:
          ReleaseError, StorageError: the release could not be written.
        """
        inputs = {
            key: artifact_utils.get_single_instance(artifacts) for key, artifacts in input_dict.items() if artifacts
        }
        release = artifact_utils.get_single_instance(output_dict["release"])
        reason = _held_back(inputs)
        if reason is not None:
            logging.warning("no release: %s", reason)
            progress.report(f"no release: {reason}")
            release.set_int_custom_property("released", 0)
            release.set_string_custom_property("reason", reason)
            return
        settings = PusherSettings.model_validate_json(exec_properties["settings"])
        store, served, facts = (
            open_store(settings.releases),
            _served(inputs),
            _facts(inputs, settings, exec_properties.get(LINEAGE)),
        )
        signing_key = None if settings.signing_key is None else Path(settings.signing_key)
        with tempfile.TemporaryDirectory() as temporary:
            parts = _parts(inputs) | {reader.STATISTICS: _statistics(inputs, Path(temporary))}
            version = store.publish(parts, facts.model_dump(mode="json"), served, signing_key=signing_key)
        content_digest = store.manifest(version)["content_digest"]
        progress.report(f"release {version}")
        _collect(store, settings.keep, served)
        # TFX's cache reuses an output while its URI exists. The URI is therefore that of the release, which may be
        # deleted, instead of the artifact's own folder, which stays. TFX cannot look for objects of a bucket; there
        # `pipeline.runners.retention.forget_deleted` deletes the artifact's folder.
        if not uris.is_uri(settings.releases):
            release.uri = store.address(version)
        release.set_int_custom_property("released", 1)
        release.set_string_custom_property("version", version)
        release.set_string_custom_property("content_digest", content_digest)
        release.set_string_custom_property("path", store.address(version))


def _held_back(inputs: dict[str, Artifact]) -> str | None:
    """Return why the models may not be released; None if they may."""
    if not model_utils.is_model_blessed(inputs["blessing"]):
        why = inputs["blessing"].get_string_custom_property(_REASON)
        return why or f"the evaluation did not bless the models; see {_evaluation_file(inputs)}"
    for step in ("retrieval", "ranking"):
        if inputs[f"{step}_pushed"].get_int_custom_property("pushed") != 1:
            return f"the {step} model was not pushed; both models are released together"
    return None


def _collect(store: ReleaseStore, keep: int, served: dict[str, str]) -> None:
    """Delete old releases; log an error instead of raising it.

    Args:
      store: the store of the releases.
      keep: the number of releases that are kept.
      served: step → the folder or URI of its pushed model.
    """
    serving = next((place.rsplit("/", 2)[0] for place in served.values()), None)
    try:
        deleted = store.collect(keep, serving)
    except (ReleaseError, StorageError) as error:  # the new release is complete; the next run deletes the old ones
        logging.warning("old releases were not deleted: %s", error)
        return
    logging.info("deleted old releases: %s", ", ".join(deleted) or "none")


def _served(inputs: dict[str, Artifact]) -> dict[str, str]:
    """Return step → the folder or URI of the model that its Pusher made for TensorFlow Serving, for steps pushed."""
    steps = (reader.RETRIEVAL, reader.RANKING)
    places = {step: inputs[f"{step}_pushed"].get_string_custom_property("pushed_destination") for step in steps}
    return {step: place for step, place in places.items() if place.rpartition("/")[2].isdecimal()}


def _parts(inputs: dict[str, Artifact]) -> dict[str, Path]:
    """Return each part of the release → the file or folder that the part is copied from."""
    index = Path(inputs["candidate_index"].uri)
    return {
        reader.RETRIEVAL: Path(path_utils.serving_model_path(inputs["retrieval_model"].uri)),
        reader.INDEX: index,
        reader.RANKING: Path(path_utils.serving_model_path(inputs["ranking_model"].uri)),
        names.USERS_FOLDER: Path(inputs["examples"].uri) / names.USERS_FOLDER,
        names.CATALOGUE_FILE: index / names.CATALOGUE_FILE,
        names.EVALUATION_FILE: _evaluation_file(inputs),
    }


def _statistics(inputs: dict[str, Artifact], folder: Path) -> Path:
    """Copy the statistics of each table to `<table>/FeatureStats.pb` in `folder`; return the folder."""
    for table, key in names.STATISTICS_INPUTS.items():
        if key in inputs:
            (folder / table).mkdir()
            source = Path(inputs[key].uri) / f"Split-{names.ALL}" / names.STATISTICS_FILE
            shutil.copyfile(source, folder / table / names.STATISTICS_FILE)
    return folder


def _evaluation_file(inputs: dict[str, Artifact]) -> Path:
    return Path(inputs["evaluation"].uri) / names.EVALUATION_FILE


def _facts(inputs: dict[str, Artifact], settings: PusherSettings, lineage: str | None) -> Facts:
    """Return the facts about the release that its manifest records."""
    file = _evaluation_file(inputs)
    evaluation = read_json(file) if file.is_file() else {}  # `publish` raises if it is missing
    return Facts(
        name=settings.name,
        seed=settings.seed,
        serving=settings.serving.model_dump(mode="json"),
        metrics=evaluation.get("headline", {}),
        split=evaluation.get("split"),
        ml_metadata={key: artifact.id for key, artifact in sorted(inputs.items())},
        lineage=json.loads(lineage) if lineage else {},
    )
