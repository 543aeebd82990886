"""EventJoiner: the Examples of the tables → joined Examples with the splits train, eval, test and catalogue."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.event_joiner.executor import Executor
from components.event_joiner.settings import JoinerSettings
from core import names
from core.code import code_digest


class EventJoinerSpec(ComponentSpec):
    """Inputs, outputs and parameters of EventJoiner."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "settings": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {
        f"{table}{suffix}": ChannelParameter(type=kind, optional=table == names.USERS)
        for suffix, kind in (("", standard_artifacts.Examples), ("_anomalies", standard_artifacts.ExampleAnomalies))
        for table in names.TABLES
    } | {f"{names.INTERACTIONS}_schema": ChannelParameter(type=standard_artifacts.Schema)}
    OUTPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class EventJoiner(base_beam_component.BaseBeamComponent):
    """A node that joins each event with its user and item, and assigns it to a split.

    Args:
      tables: table → its Examples, schema and anomalies; the table of users is optional.
      settings: the settings of this component.
    Outputs:
      examples: the events in the splits train, eval and test, the items in the split catalogue, and files with the
        users' features, histories and seen items after their last event.
    """

    SPEC_CLASS = EventJoinerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        tables: dict[str, tuple[types.BaseChannel, types.BaseChannel, types.BaseChannel]],
        settings: JoinerSettings,
    ):
        channels = {f"{names.INTERACTIONS}_schema": tables[names.INTERACTIONS][1]}
        for table, (examples, _, anomalies) in tables.items():
            channels |= {table: examples, f"{table}_anomalies": anomalies}
        super().__init__(
            spec=EventJoinerSpec(
                **channels,
                settings=settings.canonical_json(),
                code=code_digest(Executor.__module__),
                examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
