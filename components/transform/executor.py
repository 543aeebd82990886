"""The executor of Transform: analyses users and items, and writes the transform graph."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path

import pyarrow as pa
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.transform.settings import TransformSettings
from core import names, progress
from core.arrow import read_arrow
from transform import analysis, vocabularies
from transform.features import raw_columns


class Executor(base_executor.BaseExecutor):
    """See `components.transform.component.Transform`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        features = TransformSettings.model_validate_json(exec_properties["settings"]).features
        events = Path(artifact_utils.get_single_uri(input_dict["examples"]))
        columns = [names.USER_ID, names.EVENT_COUNT, *raw_columns(features.user)]
        # Histories and seen items take most of the memory and are not needed here.
        files = sorted((events / names.USERS_FOLDER).glob("*.arrow"))
        users = pa.concat_tables([read_arrow(path).select(columns) for path in files])
        items = read_arrow(events / names.CATALOGUE_FILE)
        output = artifact_utils.get_single_uri(output_dict["transform_graph"])
        earlier = {}
        if input_dict.get("base_model"):
            model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["base_model"]))
            earlier = vocabularies.read(Path(model), features)
        analysis.write_graph(features, users, items, Path(output), earlier)
        progress.report(f"{users.num_rows:,} users and {items.num_rows:,} items analysed")
