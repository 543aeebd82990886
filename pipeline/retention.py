"""Which artifacts of earlier runs stay: those that one of the latest runs made or took from its cache."""

import logging
import shutil
from pathlib import Path
from typing import Any


def collect(store: Any, root: Path, keep: int) -> list[Path]:
    """Delete the artifacts that none of the latest runs has among its outputs, and return their folders.

    What ML Metadata records of them stays, so lineage is told as before. TFX looks whether the folder of an output is
    there before it takes the output from its cache, so a deleted one is made anew.

    Args:
      store: an `ml_metadata.MetadataStore`.
      root: of the pipeline's artifacts; no run is under way in it.
      keep: the number of latest runs whose artifacts stay.
    """
    runs = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id, reverse=True)[:keep]
    executions = {each.id for run in runs for each in store.get_executions_by_context(run.id)}
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
