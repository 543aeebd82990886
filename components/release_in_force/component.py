"""ReleaseInForce: the artifacts of this run → the release to compare them with."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, system_executions
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.release_in_force.executor import CHOSEN, MODEL, TRUSTED_KEYS, Driver, Executor
from components.types import BaselineRelease
from core import names


class ReleaseInForceSpec(ComponentSpec):
    """Inputs, outputs and parameters of ReleaseInForce."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "releases": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        CHOSEN: ExecutionParameter(type=str, optional=True),
        TRUSTED_KEYS: ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012
        "retrieval_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "ranking_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        **{
            key: ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True)
            for key in names.STATISTICS_INPUTS.values()
        },
    }
    OUTPUTS = {  # noqa: RUF012
        "release": ChannelParameter(type=BaselineRelease),
        MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    TYPE_ANNOTATION = system_executions.Process


class ReleaseInForce(base_component.BaseComponent):
    """A node that finds the release in force or, if that holds the artifacts of this run, the one in force before.

    Args:
      releases: the folder or URI of the releases.
      code_digest: the digest of this component's code, part of the cache key.
      trusted_keys: files of public keys, with one of which the release of the output `model` must be signed; empty for
        no check.
      with_model: whether there is an output `model`.
      artifacts: the artifacts of this run that a release may hold, under the names of ReleasePusher's inputs: models,
        or the statistics of the tables.
    Outputs:
      release: see `components.types.BaselineRelease`.
      model: the retrieval model of the release; without a release, a folder without a model.
    """

    SPEC_CLASS = ReleaseInForceSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        releases: str,
        code_digest: str,
        trusted_keys: Sequence[str] = (),
        with_model: bool = False,
        **artifacts: types.BaseChannel,
    ):
        model = {}
        if with_model:
            model = {MODEL: types.Channel(type=standard_artifacts.Model), TRUSTED_KEYS: json.dumps([*trusted_keys])}
        spec = ReleaseInForceSpec(
            releases=releases,
            code_digest=code_digest,
            release=types.Channel(type=BaselineRelease),
            **model,
            **artifacts,
        )
        super().__init__(spec=spec)
