"""Which artifacts of earlier runs stay: those that one of the latest complete runs made or took from its cache."""

import logging
import shutil
from pathlib import Path
from typing import Any

_LAST_NODE = "ReleasePusher"


def collect(store: Any, root: Path, keep: int) -> list[Path]:
    """Delete the artifacts that none of the latest complete runs has among its outputs, and return their folders.

    Complete is a run that came to its last node. What runs made since the oldest of them stays as well: a part of a
    run, a search for settings, or a run that failed and will go on.

    What ML Metadata records of them stays, so lineage is told as before. TFX looks whether the folder of an output is
    there before it takes the output from its cache, so a deleted one is made anew.

    Args:
      store: an `ml_metadata.MetadataStore`.
      root: of the pipeline's artifacts; no run is under way in it.
      keep: the number of latest complete runs whose artifacts stay.
    """
    runs = _latest_complete(store, keep)
    if not runs:
        return []
    executions = {each.id for run in runs for each in run}
    events = store.get_events_by_execution_ids(sorted(executions)) if executions else []
    artifacts = store.get_artifacts_by_id(sorted({event.artifact_id for event in events}))
    kept = {Path(artifact.uri) for artifact in artifacts}
    outdated = [folder for folder in root.glob("[!.]*/[!.]*/*") if folder.name.isdecimal() and folder not in kept]
    outdated += [
        folder for folder in root.glob("*/.system/executor_execution/*") if folder.name not in set(map(str, executions))
    ]
    for folder in outdated:
        logging.info("deleting %s: none of the latest %d runs has it among its outputs", folder, keep)
        shutil.rmtree(folder, ignore_errors=True)
    return outdated


def _latest_complete(store: Any, keep: int) -> list[list[Any]]:
    """Return the executions of the latest `keep` complete runs, and of all runs since the oldest of these."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    well = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    last = {each.id for each in store.get_execution_types() if each.name.rpartition(".")[2] == _LAST_NODE}
    kept, complete = [], 0
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id, reverse=True):
        executions = store.get_executions_by_context(run.id)
        kept.append(executions)
        complete += any(each.type_id in last and each.last_known_state in well for each in executions)
        if complete == keep:
            return kept
    return []
