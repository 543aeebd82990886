"""The driver and the executor of ReleaseInForce."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_driver, base_executor
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.release_in_force.choice import chosen
from core import files, names, progress
from core.errors import ReleaseError
from core.release import reader
from core.release.store import open_store

MODEL = "model"  # the output with the retrieval model of the release
TRUSTED_KEYS = "trusted_keys"  # the parameter with the files of the keys that the release must be signed with, as JSON
CHOSEN = "chosen"  # the parameter in which the driver hands the version to the executor
_MODELS = {"retrieval_model": reader.RETRIEVAL, "ranking_model": reader.RANKING}


class Driver(base_driver.BaseDriver):
    """A driver that makes the choice a parameter, so that TFX's cache compares it.

    Kubeflow Pipelines runs no driver of a component; there the executor chooses, and the node is not cached.
    """

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Return the version of the release as a parameter, "" for none."""
        result = driver_output_pb2.DriverOutput()
        version = _choice(execution_info.input_dict, execution_info.exec_properties)
        result.exec_properties[CHOSEN].string_value = version
        return result


class Executor(base_executor.BaseExecutor):
    """See `components.release_in_force.component.ReleaseInForce`."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the version of the release to the output artifact; "" if there is no release to compare with.

        Raises:
          StorageError: the model is an output, and the store could not be read.
        """
        version = exec_properties.get(CHOSEN)
        if version is None:
            version = _choice(input_dict, exec_properties)
        release = artifact_utils.get_single_instance(output_dict["release"])
        release.set_string_custom_property("version", version)
        files.write_json(Path(release.uri) / names.BASELINE_FILE, {"version": version or None})
        if MODEL in output_dict:
            model = Path(artifact_utils.get_single_uri(output_dict[MODEL]))
            files.write_json(model / names.BASELINE_FILE, {"version": version or None})
            if version:
                trusted = [Path(file) for file in json.loads(exec_properties[TRUSTED_KEYS])]
                _copy_model(exec_properties["releases"], version, trusted, model)
        progress.report(f"release {version}" if version else "there is no release to compare with")


def _copy_model(releases: str, version: str, trusted: list[Path], target: Path) -> None:
    """Copy the retrieval model of a release to an artifact; only log it if the release is damaged or not trusted."""
    try:
        with open_store(releases).reading(version, trusted) as folder:
            shutil.copytree(folder / reader.RETRIEVAL, path_utils.serving_model_dir(str(target)))
    except ReleaseError as error:  # a new release replaces a damaged one, so this must not prevent it
        logging.warning("the retriever is not fitted from the release in force: %s", error)


def _choice(inputs: dict[str, list[Artifact]], exec_properties: dict[str, Any]) -> str:
    """Return the version of the release to compare with, "" for none."""
    return chosen(open_store(exec_properties["releases"]), _own(inputs)) or ""


def _own(inputs: dict[str, list[Artifact]]) -> dict[str, dict[str, str]]:
    """Return each part of a release that this run has made so far → path below it → SHA-256."""
    own = {}
    for key, artifacts in inputs.items():
        uri = artifact_utils.get_single_uri(artifacts)
        if key in _MODELS:
            own[_MODELS[key]] = files.folder_digests(path_utils.serving_model_path(uri))
    for table, key in names.STATISTICS_INPUTS.items():
        if key in inputs:
            file = Path(artifact_utils.get_single_uri(inputs[key])) / f"Split-{names.ALL}" / names.STATISTICS_FILE
            own[f"{reader.STATISTICS}/{table}"] = {names.STATISTICS_FILE: files.sha256(file)}
    return own
