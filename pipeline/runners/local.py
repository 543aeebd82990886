"""The local runner: the nodes of a pipeline one after the other, each shown, timed and, where possible, from cache.

It does what `tfx.orchestration.local.LocalDagRunner` does, and tells its caller about it.
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

# As libraries in C++ and SQLite say it, which pass on no error number.
_DISK_FULL = re.compile(f"{os.strerror(errno.ENOSPC)}|database or disk is full")
_RESOLVER = "tfx.dsl.components.common.resolver.Resolver"


def new_run_id() -> str:
    """The time in UTC as an id that sorts and can name a file."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z"


def run(
    pipeline: Any,
    reporter: Progress,
    run_id: str | None = None,
    stop_if_asked: Callable[[], None] = lambda: None,
    until: str | None = None,
    check: Callable[[list[NodeResult]], None] = lambda results: None,
) -> list[NodeResult]:
    """Run a `tfx.dsl.Pipeline` in this process; a node whose inputs and settings did not change is taken from cache.

    A run that was stopped or has failed goes on, when it is run again, at the node it had reached: those before it are
    in the cache. What the node it was in had written of its outputs by then is deleted.

    Args:
      pipeline: the pipeline; its metadata connection says where the cache is kept. No other run of it is under way.
      reporter: shows each node.
      run_id: names the run in ML Metadata; must be new.
      stop_if_asked: called before each node, when one tells of its progress and when one has failed; what it raises
        ends the run.
      until: the node to end with; only it and the nodes that it needs run.
      check: called with the results so far after each node; what it raises ends the run.

    Returns:
      One result a node, in the order they ran.

    Raises:
      UsageError: there is no node `until`.
      TwostepError: a node failed. Its own error where it raised one of ours, else one that names the node.
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
    reporter.nodes([node.node_info.id for node in nodes])
    results: list[NodeResult] = []
    began = time.monotonic()
    with telemetry_utils.scoped_labels({telemetry_utils.LABEL_TFX_RUNNER: "local"}), _no_arguments():
        for node in nodes:
            stop_if_asked()
            results.append(_run_node(node, ir, deployment, store, reporter, stop_if_asked))
            check(results)
    reporter.ended(results, time.monotonic() - began)
    return results


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide the arguments of this process: TFX's Beam executors parse them as flags of absl, whose -v is a number."""
    before, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = before


def _remove_leftovers(store: Any, root: Path) -> None:
    """Delete the folders of executions that did not end well: TFX does so after an error, but not after a kill.

    What ML Metadata says of such executions may stay: TFX takes nothing from the cache that is not complete.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    with store as opened:
        executions = opened.store.get_executions()
    well = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    dead = {str(execution.id) for execution in executions if execution.last_known_state not in well}
    for folder in [*root.glob("*/*/*"), *root.glob("*/.system/executor_execution/*")]:
        if folder.name in dead:
            logging.info("deleting %s: its execution did not end well", folder)
            shutil.rmtree(folder)


def _run_node(
    node: Any, ir: Any, deployment: Any, store: Any, reporter: Progress, stop_if_asked: Callable[[], None]
) -> NodeResult:
    """Launch one node and show what became of it."""
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher

    def said(text: str) -> None:
        stop_if_asked()
        reporter.say(text)

    node_id = node.node_info.id
    logging.info("---- %s ----", node_id)
    began = time.monotonic()
    try:
        with reporter.running(node_id), progress.listening(said):
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
        stop_if_asked()  # Beam, and C++ that calls Python, make a failure of what the request has raised
        reporter.finished(NodeResult(node_id, "failed", time.monotonic() - began))
        raise explained(node_id, error) from error
    result = NodeResult(node_id, state, time.monotonic() - began, outputs, execution_id)
    reporter.finished(result)
    return result


def _outcome(store: Any, node_id: str, execution_id: int | None) -> tuple[State, int]:
    """What ML Metadata says of an execution, and how many artifacts it put out.

    Raises:
      TwostepError: it failed. The launcher does not raise where a node's inputs could not be resolved; it records it.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    if execution_id is None:
        return "skipped", 0
    with store as opened:
        [execution] = opened.store.get_executions_by_id([execution_id])
        events = opened.store.get_events_by_execution_ids([execution_id])
    if execution.last_known_state == mlmd.Execution.FAILED:
        raise TwostepError(f"{node_id}: its inputs could not be resolved. Run again with -v for the log")
    outputs = sum(event.type in (mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT) for event in events)
    return ("cached" if execution.last_known_state == mlmd.Execution.CACHED else "done"), outputs


def explained(node_id: str, error: BaseException) -> TwostepError:
    """Our own error out of what a node raised, else one that names the node and what it raised."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, TwostepError):
            return link
    for link in chain:
        told = _told_by_beam(str(link))
        if told is not None:
            return told
    text = str(error).strip() or "no message"
    if any(isinstance(link, OSError) and link.errno == errno.ENOSPC for link in chain) or _DISK_FULL.search(text):
        return TwostepError(
            f"{node_id} could not write: the disk is full ({os.strerror(errno.ENOSPC)}). Free some space where the run "
            "folder and the temporary folder are, and run again: the nodes before it are in the cache"
        )
    return TwostepError(
        f"{node_id} failed with {type(error).__name__}: {_shortened(text)}\nRun again with -v for the log"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _told_by_beam(text: str) -> TwostepError | None:
    """Our error out of a message of Beam, which passes a worker's error on as the text of its traceback."""
    pattern = r"(?:^|RuntimeError: )core\.errors\.(\w+): (.*?)(?: \[while running |\n\n|\Z)"
    found = re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL)
    if not found:
        return None
    name, message = found[-1]
    error = TwostepError(message)
    error.exit_code = getattr(getattr(core.errors, name, TwostepError), "exit_code", 1)
    return error


def _shortened(text: str, lines: int = 6) -> str:
    """The last lines of a long message: a traceback ends with what went wrong."""
    parts = text.splitlines()
    return text if len(parts) <= lines else "\n".join(["…", *parts[-lines:]])
