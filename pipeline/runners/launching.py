"""What the launcher of TFX needs to run nodes side by side: a metadata store for threads, and executors in workers."""

import core.tf  # noqa: F401 - before TFX, which imports TensorFlow

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tfx.orchestration import metadata
from tfx.orchestration.portable import data_types
from tfx.orchestration.portable.base_executor_operator import BaseExecutorOperator
from tfx.orchestration.portable.launcher import DEFAULT_EXECUTOR_OPERATORS
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2, placeholder_pb2

from components.release_pusher.executor import LINEAGE
from core import node_ids
from pipeline.lineage.database import store_of
from pipeline.runners.workers import Workers


class SharedStore(metadata.Metadata):
    """A connection to ML Metadata that is open in one thread at a time, since SQLite refuses concurrent writes.

    Args:
      config: the connection configuration.
      lock: the lock that all connections to the same store have in common.
    """

    def __init__(self, config: Any, lock: threading.RLock):
        super().__init__(config)
        self._lock = lock

    def __enter__(self):
        self._lock.acquire()
        try:
            if not self._users:
                self._store = store_of(self._connection_config)
            self._users += 1
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *details):
        try:
            return super().__exit__(*details)
        finally:
            self._lock.release()


class Operator(BaseExecutorOperator):
    """An operator of the launcher that runs an executor in a worker, or in this process.

    It gives Beam the arguments of the configured engine. They are none of the pipeline, since they would be part of the
    cache keys, and all engines make the same outputs. It hands ReleasePusher the lineage of its inputs, which is no
    parameter of the node for the same reason.
    """

    SUPPORTED_EXECUTOR_SPEC_TYPE = (
        executable_spec_pb2.PythonClassExecutableSpec,
        executable_spec_pb2.BeamExecutableSpec,
    )
    SUPPORTED_PLATFORM_CONFIG_TYPE = ()

    def __init__(
        self,
        executor_spec: Any,
        platform_config: Any = None,
        *,
        workers: Workers | None,
        on_report: Callable[[str], None],
        lineage: Callable[[list[int]], str],
        beam: Sequence[str] | None,
    ):
        super().__init__(_with_beam(executor_spec, beam), platform_config)
        self._workers, self._on_report, self._lineage = workers, on_report, lineage

    def run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        """Run the executor. Raises: TwostepError if it fails, WorkerLostError if the worker ends."""
        if execution_info.pipeline_node.node_info.id == node_ids.RELEASE_PUSHER:
            ids = [artifact.id for artifacts in execution_info.input_dict.values() for artifact in artifacts]
            execution_info.exec_properties[LINEAGE] = self._lineage(ids)
        if self._workers is None:
            operator = DEFAULT_EXECUTOR_OPERATORS[type(self._executor_spec)](self._executor_spec, self._platform_config)
            return operator.run_executor(execution_info)
        output = self._workers.run(self._executor_spec, execution_info.to_proto(), self._on_report)
        return execution_result_pb2.ExecutorOutput.FromString(output)


def _with_beam(executor_spec: Any, beam: Sequence[str] | None) -> Any:
    """Return the specification of an executor with these arguments of Beam, if it uses Beam."""
    if beam is None or not isinstance(executor_spec, executable_spec_pb2.BeamExecutableSpec):
        return executor_spec
    changed = executable_spec_pb2.BeamExecutableSpec(python_executor_spec=executor_spec.python_executor_spec)
    changed.beam_pipeline_args.extend(beam)
    for argument in beam:
        expression = placeholder_pb2.PlaceholderExpression()
        expression.value.string_value = argument
        changed.beam_pipeline_args_placeholders.append(expression)
    return changed


def operators(
    workers: Workers | None,
    on_report: Callable[[str], None],
    lineage: Callable[[list[int]], str],
    beam: Sequence[str] | None,
) -> dict[Any, Any]:
    """Return the type of executor → a function that makes its operator.

    Args:
      workers: the workers; None to run executors in this process.
      on_report: called with each progress report of a worker.
      lineage: returns the lineage of artifacts, by their ids, as JSON.
      beam: the arguments of Beam, in place of those of the pipeline; None for those.
    """

    def operator(**arguments: Any) -> Operator:
        return Operator(**arguments, workers=workers, on_report=on_report, lineage=lineage, beam=beam)

    return dict.fromkeys(Operator.SUPPORTED_EXECUTOR_SPEC_TYPE, operator)
