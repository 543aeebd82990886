"""What the launcher of TFX needs to run nodes side by side: a metadata store for threads, and executors in workers."""

import core.tf  # noqa: F401 - before TFX, which imports TensorFlow

import threading
from collections.abc import Callable
from typing import Any

from tfx.orchestration import metadata
from tfx.orchestration.portable import data_types
from tfx.orchestration.portable.base_executor_operator import BaseExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2

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
            return super().__enter__()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *details):
        try:
            return super().__exit__(*details)
        finally:
            self._lock.release()


class WorkerOperator(BaseExecutorOperator):
    """An operator of the launcher that runs an executor in a worker."""

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
        workers: Workers,
        on_report: Callable[[str], None],
    ):
        super().__init__(executor_spec, platform_config)
        self._workers, self._on_report = workers, on_report

    def run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        """Run the executor. Raises: TwostepError if it fails, WorkerLostError if the worker ends."""
        output = self._workers.run(self._executor_spec, execution_info.to_proto(), self._on_report)
        return execution_result_pb2.ExecutorOutput.FromString(output)


def operators(workers: Workers | None, on_report: Callable[[str], None]) -> dict[Any, Any] | None:
    """Return the type of executor → a function that makes its operator; None for the operators of TFX."""
    if workers is None:
        return None

    def operator(**arguments: Any) -> WorkerOperator:
        return WorkerOperator(**arguments, workers=workers, on_report=on_report)

    return dict.fromkeys(WorkerOperator.SUPPORTED_EXECUTOR_SPEC_TYPE, operator)
