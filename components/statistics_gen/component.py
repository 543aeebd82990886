"""StatisticsGen: TFDV's statistics of a table, by an executor that reads Examples in large batches.

TFX's executor hands each record to Beam alone, which takes most of its time. The inputs and outputs that are used here,
and the statistics, are those of TFX's StatisticsGen.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.statistics_gen.executor import Executor


class StatisticsGenSpec(ComponentSpec):
    """Inputs, outputs and parameters of StatisticsGen."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "stats_options_json": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
    }
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012
    OUTPUTS = {"statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics)}  # noqa: RUF012


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """A node that computes the statistics of the split `all` of a table with TFDV.

    Args:
      examples: the Examples of a table.
      stats_options: the options of TFDV; `desired_batch_size` rows are decoded at once.
      code_digest: the digest of this component's code, part of the cache key.
    Outputs:
      statistics: the statistics, in the layout of TFX.
    """

    SPEC_CLASS = StatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: types.BaseChannel, stats_options: tfdv.StatsOptions, code_digest: str):
        super().__init__(
            spec=StatisticsGenSpec(
                examples=examples,
                stats_options_json=stats_options.to_json(),
                code_digest=code_digest,
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
