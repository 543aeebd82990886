"""The drift that a run measured, read from its artifact in ML Metadata."""

from pathlib import Path
from typing import Any

from core import files, names, node_ids
from core.errors import TwostepError
from pipeline.config import Config, paths


def excess(config: Config, run_id: str) -> float | None:
    """Return the largest change that a run measured, as a multiple of its bound; None if nothing was compared.

    Raises:
      TwostepError: the run has no report of drift.
    """
    findings = _report(config, run_id)["findings"]
    return largest(findings) if findings else None


def largest(findings: list[dict[str, Any]]) -> float:
    """Return the largest `Finding.excess` of the findings in a report of drift."""
    from components.drift_detector.drift import Finding

    keys = Finding.__dataclass_fields__
    return max(Finding(**{key: finding[key] for key in keys}).excess for finding in findings)


def _report(config: Config, run_id: str) -> Any:
    store = paths.metadata_database(config).open()
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = [] if context is None else store.get_executions_by_context(context.id)
    events = store.get_events_by_execution_ids([each.id for each in executions]) if executions else []
    outputs = [each.artifact_id for each in events if each.type in (each.OUTPUT, each.INTERNAL_OUTPUT)]
    made = [Path(each.uri, names.DRIFT_FILE) for each in (store.get_artifacts_by_id(outputs) if outputs else [])]
    reports = [file for file in made if file.is_file()]
    if not reports:
        raise TwostepError(
            f"run {run_id}: should have a {names.DRIFT_FILE} of {node_ids.DRIFT_DETECTOR}; none was found below "
            f"{paths.pipeline_root(config)}. Run again"
        )
    return files.read_json(reports[-1])
