"""DriftDetector: the statistics of this delivery and of the release in force → the drift."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, system_executions
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.drift_detector.executor import Executor
from components.drift_detector.settings import DetectorSettings
from components.types import BaselineRelease, DriftReport
from core import names


class DriftDetectorSpec(ComponentSpec):
    """Inputs, outputs and parameters of DriftDetector."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "settings": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "baseline_release": ChannelParameter(type=BaselineRelease),
        **{
            key: ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True)
            for key in names.STATISTICS_INPUTS.values()
        },
    }
    OUTPUTS = {"drift": ChannelParameter(type=DriftReport)}  # noqa: RUF012
    TYPE_ANNOTATION = system_executions.Process


class DriftDetector(base_component.BaseComponent):
    """A node that compares the statistics of each table with those of the delivery of the release in force.

    Args:
      statistics: table → its statistics in this delivery.
      baseline_release: output of ReleaseInForce; without a release nothing is compared.
      settings: the settings of this component.
      code_digest: the digest of this component's code, part of the cache key.
    Outputs:
      drift: see `components.types.DriftReport`.
    """

    SPEC_CLASS = DriftDetectorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: dict[str, types.BaseChannel],
        baseline_release: types.BaseChannel,
        settings: DetectorSettings,
        code_digest: str,
    ):
        spec = DriftDetectorSpec(
            **{names.STATISTICS_INPUTS[table]: channel for table, channel in statistics.items()},
            baseline_release=baseline_release,
            settings=settings.canonical_json(),
            code_digest=code_digest,
            drift=types.Channel(type=DriftReport),
        )
        super().__init__(spec=spec)
