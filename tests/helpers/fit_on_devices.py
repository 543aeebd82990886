"""Fit the networks of a step on some devices of this process: `fit_on_devices.py CALL DEVICES FOLDER [BASE]`.

The devices are parts of the processor, in place of GPUs. BASE is the SavedModel that the fit of a retrieval model
begins with.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import sys
from dataclasses import replace
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft

from core import names
from core.files import read_json
from trainer.distribution.distribution import ONE, Distribution
from trainer.distribution.machines import Call
from trainer.ranking import run_fn as ranking
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval import run_fn as retrieval
from trainer.retrieval.registry import MODELS as RETRIEVAL
from trainer.retrieval.warm_start.base import VARIABLES, Base
from trainer.retrieval.warm_start.rows import Vocabularies
from trainer.step_settings import RankingStepSettings, RetrievalStepSettings, settings_json
from transform.names import index_outputs, vocabularies


def main(file: str, devices: int, folder: str, base: str | None = None) -> None:
    """Fit and save the model of a call."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
    distribution = ONE
    if devices > 1:
        distribution = Distribution(tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(devices)]))
    call = Call.model_validate(read_json(file))
    text = settings_json(call.arguments.custom_config)
    if call.step == "retrieval":
        of_retrieval = RetrievalStepSettings.model_validate_json(text)
        events, validation = retrieval.inputs(call.arguments, of_retrieval)
        events_of_train = replace(events.data([names.TRAIN], validation), distribution=distribution)
        if base:
            events_of_train = replace(
                events_of_train, base=_base(base, call.arguments.transform_graph_path, of_retrieval)
            )
        settings = RETRIEVAL.check(of_retrieval.model, of_retrieval.params)
        RETRIEVAL[of_retrieval.model].load()(settings, events_of_train, of_retrieval.seed).save(folder)
    else:
        of_ranking = RankingStepSettings.model_validate_json(text)
        lists = replace(ranking.inputs(call.arguments, of_ranking), distribution=distribution)
        settings = RANKING.check(of_ranking.model, of_ranking.params)
        RANKING[of_ranking.model].load()(settings, lists, of_ranking.seed)[0].save(folder)
    print(f"{distribution.replicas} replicas")


def _base(folder: str, transform_graph: str, step: RetrievalStepSettings) -> Base:
    """Return the weights of a SavedModel of the same vocabularies."""
    graph = tft.TFTransformOutput(transform_graph)
    values = {name: graph.vocabulary_by_name(name) for name in vocabularies(step.features)}
    of = {
        each.column: Vocabularies(*[values.get(each.vocabulary or "", ())] * 2) for each in index_outputs(step.features)
    }
    return Base.read(Path(folder) / VARIABLES, of)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
