"""Deletion of the artifacts of earlier runs that the latest complete runs do not use."""

import logging
import shutil
from pathlib import Path
from typing import Any

from core import node_ids
from core.release.store import ReleaseStore
from core.storage import uris
from pipeline.lineage import records
from pipeline.lineage.database import Database


def collect(store: Any, root: Path, keep: int, pipeline: str | None = None) -> list[Path]:
    """Delete the artifacts that are not outputs of the latest complete runs, and return their folders.

    A run is complete if its last node succeeded. Artifacts of all runs that are newer than the oldest kept run are kept
    as well: runs with `--until`, searches for settings, and failed runs, which may be resumed.

    The records in ML Metadata are kept for lineage. TFX takes an output from the cache only if its folder exists, so a
    node whose output was deleted runs again.

    Args:
      store: an `ml_metadata.MetadataStore`.
      root: the folder of the pipeline's artifacts; no run is in progress in it.
      keep: the number of latest complete runs whose artifacts are kept.
      pipeline: the name of the pipeline whose runs count; None for all.
    """
    runs = _latest_complete(store, keep, pipeline)
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
        logging.info("deleting %s: not an output of the latest %d complete runs", folder, keep)
        shutil.rmtree(folder, ignore_errors=True)
    return outdated


def forget_deleted(database: Database, releases: ReleaseStore) -> list[str]:
    """Delete ReleasePusher's outputs whose releases were deleted from a bucket; return the addresses of these releases.

    TFX takes an output from the cache only if its folder exists, and sees no bucket. Now ReleasePusher publishes again,
    as it does where a release was deleted from a folder.

    Args:
      database: the database of ML Metadata.
      releases: the store of the releases of the run that follows.
    Raises:
      StorageError: the bucket cannot be read.
    """
    if not uris.is_uri(releases.location) or not database.exists():
        return []
    folders = {
        address: [folder for folder in made if folder.is_dir()]
        for address, made in records.release_folders(database.open(), database.pipeline).items()
        if address.startswith(f"{releases.location}/")
    }
    present = {releases.address(version) for version in releases.versions()} if any(folders.values()) else set()
    gone = [address for address, made in folders.items() if made and address not in present]
    for address in gone:
        logging.info("%s was deleted; ReleasePusher does not come from the cache", address)
        for folder in folders[address]:
            shutil.rmtree(folder)
    return gone


def _latest_complete(store: Any, keep: int, pipeline: str | None) -> list[list[Any]]:
    """Return the executions of each run from the newest to the `keep`-th latest complete run; empty if fewer exist."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    succeeded = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    last = {each.id for each in store.get_execution_types() if each.name.rpartition(".")[2] == node_ids.RELEASE_PUSHER}
    own: set[int] | None = None
    if pipeline is not None:
        context = records.context_of(store, pipeline)
        own = set() if context is None else {each.id for each in store.get_executions_by_context(context)}
    kept, complete = [], 0
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id, reverse=True):
        executions = [each for each in store.get_executions_by_context(run.id) if own is None or each.id in own]
        kept.append(executions)
        complete += any(each.type_id in last and each.last_known_state in succeeded for each in executions)
        if complete == keep:
            return kept
    return []
