"""Transform: the joined events → the transform graph of the models' inputs."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.transform.executor import Executor
from components.transform.settings import TransformSettings


class TransformSpec(ComponentSpec):
    """Inputs, outputs and parameters of Transform."""

    PARAMETERS = {"settings": ExecutionParameter(type=str), "code_digest": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012 - TFX's form
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph)}  # noqa: RUF012


class Transform(base_component.BaseComponent):
    """A node that analyses users and items, and writes the transform graph, as TFX's Transform does.

    Args:
      examples: the output of EventJoiner: the users and the catalogue with their numbers of events in train and eval.
      settings: the settings of this component.
      code_digest: the digest of this component's code, part of the cache key.
      base_model: the retrieval model whose vocabularies the new ones begin with; None for new vocabularies.
    Outputs:
      transform_graph: the transform graph, in the layout of TensorFlow Transform.
    """

    SPEC_CLASS = TransformSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        settings: TransformSettings,
        code_digest: str,
        base_model: types.BaseChannel | None = None,
    ):
        super().__init__(
            spec=TransformSpec(
                examples=examples,
                base_model=base_model,
                settings=settings.canonical_json(),
                code_digest=code_digest,
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
            )
        )
