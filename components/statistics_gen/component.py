"""StatisticsGen: TFX's component with our executor, which reads Examples in large batches.

TFX's executor hands each record to Beam alone, which takes half of its time; the rest of the component, its outputs and
its statistics are those of TFX.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx.components import statistics_gen
from tfx.dsl.components.base import executor_spec

from components.statistics_gen.executor import Executor


class StatisticsGen(statistics_gen.component.StatisticsGen):
    """A node that computes the statistics of the split `all` of a table with TFDV."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
