"""The executor of StatisticsGen: TFDV's statistics of a table, from its Examples in large batches."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os

import apache_beam as beam
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from core import examples, names
from core.storage import shard_files


class Executor(base_beam_executor.BaseBeamExecutor):
    """See `components.statistics_gen.component.StatisticsGen`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        [table] = input_dict["examples"]
        [output] = output_dict["statistics"]
        options = tfdv.StatsOptions.from_json(exec_properties["stats_options_json"])
        output.split_names, output.span = artifact_utils.encode_split_names([names.ALL]), table.span
        file = os.path.join(artifact_utils.get_split_uri([output], names.ALL), DEFAULT_FILE_NAME)
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(examples.files(table.uri, names.ALL))
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(_batches, rows=options.desired_batch_size)
                | "Statistics" >> tfdv.GenerateStatistics(options)
                | "Write" >> beam.Map(_write, file)
            )


def _batches(path, rows):
    """Yield the rows of a file as record batches, each feature a list."""
    return examples.read_encoded([path], rows)


def _write(statistics, file):
    """Write statistics as TFDV does, whose writer needs a file system of Beam for the URI."""
    with shard_files.writing(file) as partial:
        partial.write_bytes(statistics.SerializePartialToString())
