"""The local runner: runs the nodes of a pipeline one after the other, from the cache if possible.

Like `tfx.orchestration.local.LocalDagRunner`, with progress, results and errors for the caller.
"""

import core.tf  # before TFX, which imports TensorFlow

import contextlib
import datetime
import errno
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import core.errors
from core import progress
from core.errors import TwostepError
from pipeline.dag.plan import needed_by
from pipeline.lineage import records
from pipeline.runners.progress import NodeResult, Progress, State

# Errors of C++ libraries and of SQLite have a message but no error number.
_DISK_FULL = re.compile(f"{os.strerror(errno.ENOSPC)}|database or disk is full")
_RESOLVER = "tfx.dsl.components.common.resolver.Resolver"


def new_run_id() -> str:
    """Return the time in UTC as an id that sorts by time and is valid in a file name."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z"


def run(
    pipeline: Any,
    reporter: Progress,
    run_id: str | None = None,
    raise_if_stopped: Callable[[], None] = lambda: None,
    until: str | None = None,
    check: Callable[[list[NodeResult]], None] = lambda results: None,
) -> list[NodeResult]:
    """Run a `tfx.dsl.Pipeline` in this process; take nodes whose inputs and settings did not change from the cache.

    When a stopped or failed run is started again, earlier nodes come from the cache, so it resumes at the node at which
    it stopped. The partial outputs of that node are deleted.

    Args:
      pipeline: the pipeline, with the metadata connection of the cache; no other run of it may be in progress.
      reporter: shows the progress of each node.
      run_id: the id of the run in ML Metadata; must be new.
      raise_if_stopped: called before each node, at each progress report and after a failure; an exception that it
        raises ends the run.
      until: the last node; only it and the nodes that it depends on run. None for all nodes.
      check: called with the results so far after each node; an exception that it raises ends the run.

    Returns:
      One result per node, in the order of execution.

    Raises:
      UsageError: there is no node `until`.
      TwostepError: a node failed. The node's own error if it is a TwostepError, else one that names the node.
    """
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import runtime_parameter_utils
    from tfx.utils import telemetry_utils

    ir = compiler.Compiler().compile(pipeline)
    nodes = [node.pipeline_node for node in ir.nodes if not node.pipeline_node.execution_options.HasField("skip")]
    if until is not None:
        needed = needed_by(until, {node.node_info.id: list(node.upstream_nodes) for node in nodes})
        nodes = [node for node in nodes if node.node_info.id in needed]
    run_id = run_id or new_run_id()
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    deployment = runner_utils.extract_local_deployment_config(ir)
    connection = deployment.metadata_connection_config
    if connection.database_connection_config.HasField("sqlite"):
        records.check_store(Path(connection.database_connection_config.sqlite.filename_uri), deep=True)
    store = metadata.Metadata(getattr(connection, connection.WhichOneof("connection_config")))
    _remove_leftovers(store, Path(ir.runtime_spec.pipeline_root.field_value.string_value))
    reporter.set_nodes([node.node_info.id for node in nodes])
    results: list[NodeResult] = []
    began = time.monotonic()
    with telemetry_utils.scoped_labels({telemetry_utils.LABEL_TFX_RUNNER: "local"}), _no_arguments():
        for node in nodes:
            raise_if_stopped()
            results.append(_run_node(node, ir, deployment, store, reporter, raise_if_stopped))
            check(results)
    reporter.run_finished(results, time.monotonic() - began)
    return results


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide the arguments of this process, which the Beam executors of TFX would parse as flags of absl."""
    before, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = before


def _remove_leftovers(store: Any, root: Path) -> None:
    """Delete the folders of executions that did not succeed, which TFX does after an error but not after a kill.

    Their records in ML Metadata are kept: TFX takes only complete executions from the cache.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    with store as opened:
        executions = opened.store.get_executions()
    succeeded = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    failed = {str(execution.id) for execution in executions if execution.last_known_state not in succeeded}
    for folder in [*root.glob("*/*/*"), *root.glob("*/.system/executor_execution/*")]:
        if folder.name in failed:
            logging.info("deleting %s: its execution did not succeed", folder)
            shutil.rmtree(folder)


def _run_node(
    node: Any, ir: Any, deployment: Any, store: Any, reporter: Progress, raise_if_stopped: Callable[[], None]
) -> NodeResult:
    """Run one node and report its result. Raises: TwostepError if it fails."""
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher

    def on_report(text: str) -> None:
        raise_if_stopped()
        reporter.update(text)

    node_id = node.node_info.id
    logging.info("---- %s ----", node_id)
    began = time.monotonic()
    try:
        with reporter.running(node_id), progress.listening(on_report):
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=store,
                pipeline_info=ir.pipeline_info,
                pipeline_runtime_spec=ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
            ).launch()
            execution_id = info.execution_id if info is not None else None
            state, outputs = _outcome(store, node_id, execution_id)
            if state == "done" and node.node_info.type.name == _RESOLVER:
                state = "resolved"
    except Exception as error:
        logging.exception("%s failed", node_id)
        raise_if_stopped()  # Beam and C++ code that calls Python replace the exception of a stop
        reporter.node_finished(NodeResult(node_id, "failed", time.monotonic() - began))
        raise explained(node_id, error) from error
    result = NodeResult(node_id, state, time.monotonic() - began, outputs, execution_id)
    reporter.node_finished(result)
    return result


def _outcome(store: Any, node_id: str, execution_id: int | None) -> tuple[State, int]:
    """Return the state of an execution in ML Metadata, and its number of output artifacts.

    Raises:
      TwostepError: it failed. The launcher records a failure to resolve inputs, but raises no error.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    if execution_id is None:
        return "skipped", 0
    with store as opened:
        [execution] = opened.store.get_executions_by_id([execution_id])
        events = opened.store.get_events_by_execution_ids([execution_id])
    if execution.last_known_state == mlmd.Execution.FAILED:
        raise TwostepError(f"{node_id}: the inputs could not be resolved. Run again with -v for the log")
    outputs = sum(event.type in (mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT) for event in events)
    return ("cached" if execution.last_known_state == mlmd.Execution.CACHED else "done"), outputs


def explained(node_id: str, error: BaseException) -> TwostepError:
    """Return the TwostepError that caused the failure of a node, or else a new one with the node and the error."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, TwostepError):
            return link
    for link in chain:
        from_worker = _from_beam(str(link))
        if from_worker is not None:
            return from_worker
    text = str(error).strip() or "no message"
    if any(isinstance(link, OSError) and link.errno == errno.ENOSPC for link in chain) or _DISK_FULL.search(text):
        return TwostepError(
            f"{node_id} could not write: the disk is full ({os.strerror(errno.ENOSPC)}). Free some space in the run "
            "folder and the temporary folder, and run again; earlier nodes are in the cache"
        )
    return TwostepError(
        f"{node_id} failed with {type(error).__name__}: {_shortened(text)}\nRun again with -v for the log"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _from_beam(text: str) -> TwostepError | None:
    """Return the TwostepError in a message of Beam, which contains a worker's traceback as text; None without one."""
    pattern = r"(?:^|RuntimeError: )core\.errors\.(\w+): (.*?)(?: \[while running |\n\n|\Z)"
    matches = re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL)
    if not matches:
        return None
    name, message = matches[-1]
    error = TwostepError(message)
    error.exit_code = getattr(getattr(core.errors, name, TwostepError), "exit_code", 1)
    return error


def _shortened(text: str, lines: int = 6) -> str:
    """Return the last lines of a long message; the last lines of a traceback contain the error."""
    parts = text.splitlines()
    return text if len(parts) <= lines else "\n".join(["…", *parts[-lines:]])
