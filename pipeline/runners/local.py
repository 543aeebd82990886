"""The local runner: runs the nodes of a pipeline, side by side in workers if there are any, from the cache if possible.

Like `tfx.orchestration.local.LocalDagRunner`, with workers, and with progress, results and errors for the caller.
"""

import core.tf  # noqa: F401 - before TFX, which imports TensorFlow

import contextlib
import datetime
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from core import progress
from core.errors import TwostepError
from pipeline.dag.plan import needed_by
from pipeline.lineage import graph, records
from pipeline.lineage.database import SQLite
from pipeline.runners.failures import explained
from pipeline.runners.ordering import side_by_side
from pipeline.runners.progress import NodeResult, Progress, State
from pipeline.runners.workers import Workers


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
    workers: Workers | None = None,
    beam: Sequence[str] | None = None,
) -> list[NodeResult]:
    """Run a `tfx.dsl.Pipeline`; take nodes whose inputs and settings did not change from the cache.

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
      workers: the processes that run the executors of nodes which do not depend on each other; None to run one node
        after the other in this process. If a node fails, the other workers are ended.
      beam: the arguments with which Beam runs a node, in place of those of the pipeline; None for those.

    Returns:
      One result per node, in the order in which they ended.

    Raises:
      UsageError: there is no node `until`.
      TwostepError: a node failed. The node's own error if it is a TwostepError, else one that names the node.
    """
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import runtime_parameter_utils
    from tfx.utils import telemetry_utils

    from pipeline.runners import launching, shared_types

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
        SQLite(Path(connection.database_connection_config.sqlite.filename_uri)).check(deep=True)
    lock = threading.RLock()

    def new_store() -> metadata.Metadata:
        return launching.SharedStore(getattr(connection, connection.WhichOneof("connection_config")), lock)

    store = new_store()
    if not connection.database_connection_config.HasField("sqlite"):
        with store as opened:
            shared_types.register(
                opened.store, [node.pipeline_node for node in ir.nodes], connection.database_connection_config
            )
    _remove_leftovers(store, ir.pipeline_info.id, Path(ir.runtime_spec.pipeline_root.field_value.string_value))
    reporter.set_nodes([node.node_info.id for node in nodes])
    results: list[NodeResult] = []
    began = time.monotonic()
    with telemetry_utils.scoped_labels({telemetry_utils.LABEL_TFX_RUNNER: "local"}), _no_arguments():
        finished = _in_order(
            nodes,
            lambda node: _run_node(node, ir, deployment, new_store(), reporter, raise_if_stopped, workers, beam),
            raise_if_stopped,
            workers,
        )
        with contextlib.closing(finished):  # ends the workers and the threads also if `check` raises
            for result in finished:
                results.append(result)
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


def _remove_leftovers(store: Any, pipeline: str, root: Path) -> None:
    """Delete the folders of executions that did not succeed, which TFX does after an error but not after a kill.

    Their records in ML Metadata are kept: TFX takes only complete executions from the cache.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    with store as opened:
        context = records.context_of(opened.store, pipeline)
        executions = [] if context is None else opened.store.get_executions_by_context(context)
    succeeded = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    failed = {str(execution.id) for execution in executions if execution.last_known_state not in succeeded}
    for folder in [*root.glob("*/*/*"), *root.glob("*/.system/executor_execution/*")]:
        if folder.name in failed:
            logging.info("deleting %s: its execution did not succeed", folder)
            shutil.rmtree(folder)


def _in_order(
    nodes: Sequence[Any],
    run_node: Callable[[Any], NodeResult],
    raise_if_stopped: Callable[[], None],
    workers: Workers | None,
) -> Generator[NodeResult, None, None]:
    """Yield the results of nodes, each run after the nodes that it depends on; with workers, side by side.

    Args:
      nodes: in an order in which each node follows those that it depends on.
    """
    if workers is None:
        for node in nodes:
            raise_if_stopped()
            yield run_node(node)
        return
    by_id = {node.node_info.id: node for node in nodes}
    upstream = {node_id: set(node.upstream_nodes) for node_id, node in by_id.items()}
    yield from side_by_side(
        upstream, lambda node_id: run_node(by_id[node_id]), workers.count, raise_if_stopped, workers.stop
    )


def _run_node(
    node: Any,
    ir: Any,
    deployment: Any,
    store: Any,
    reporter: Progress,
    raise_if_stopped: Callable[[], None],
    workers: Workers | None,
    beam: Sequence[str] | None,
) -> NodeResult:
    """Run one node and report its result. Raises: TwostepError if it fails."""
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher

    from pipeline.runners import launching

    node_id = node.node_info.id

    def on_report(text: str) -> None:
        raise_if_stopped()
        reporter.update(node_id, text)

    def lineage(artifact_ids: list[int]) -> str:
        with store as opened:
            return json.dumps(graph.to_json(records.trace(opened.store, artifact_ids)))

    logging.info("---- %s ----", node_id)
    began = time.monotonic()
    try:
        listening = contextlib.nullcontext() if workers else progress.listening(on_report)
        with reporter.running(node_id), listening:
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=store,
                pipeline_info=ir.pipeline_info,
                pipeline_runtime_spec=ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
                custom_executor_operators=launching.operators(workers, on_report, lineage, beam),
            ).launch()
            execution_id = info.execution_id if info is not None else None
            state, outputs = _outcome(store, node_id, execution_id)
    except Exception as error:
        logging.exception("%s failed", node_id)
        raise_if_stopped()  # Beam and C++ code that calls Python replace the exception of a stop
        if workers and workers.stopped:
            raise  # another node failed
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
