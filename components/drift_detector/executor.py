"""The executor of DriftDetector: compares the statistics of two deliveries, and stops the run if so configured."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
import logging
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils

from components.drift_detector import drift
from components.drift_detector.settings import DetectorSettings
from core import names, progress
from core.errors import DataError, ReleaseError
from core.files import write_json
from core.release import reader
from core.release.store import open_store

_MOST_SHOWN = 3  # the maximum number of findings in the line of progress


class Executor(base_executor.BaseExecutor):
    """See `components.drift_detector.component.DriftDetector`."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write `drift.json`: the release in force, what was not compared and why, and every finding.

        Raises:
          DataError: a finding is beyond a bound and the action is `stop`.
        """
        settings = DetectorSettings.model_validate_json(exec_properties["settings"])
        release: str | None = None
        findings: list[drift.Finding] = []
        not_compared: str | None = "there is no earlier release of another delivery to compare with"
        baseline = artifact_utils.get_single_instance(input_dict["baseline_release"])
        if version := baseline.get_string_custom_property("version"):
            release = version
            try:
                findings, lacking = _compare(release, input_dict, settings)
            except ReleaseError as error:
                not_compared = str(error)
            else:
                tables = ", ".join(lacking)
                not_compared = f"the release {release} has no statistics of {tables}" if lacking else None
            if not_compared is not None:
                logging.warning("drift was not measured: %s", not_compared)
        beyond = [finding for finding in findings if finding.beyond]
        report = {
            "release": release,
            "not_compared": not_compared,
            "action": settings.bounds.action,
            "findings": [finding.to_json() for finding in findings],
        }
        write_json(Path(artifact_utils.get_single_uri(output_dict["drift"])) / names.DRIFT_FILE, report)
        progress.report(_line(release, not_compared, findings, beyond))
        for finding in beyond:
            logging.warning("drift: %s: %s", _place(finding), finding.sentence())
        if beyond and settings.bounds.action == "stop":
            raise _error(str(release), beyond)


def _compare(
    version: str, inputs: dict[str, list[Artifact]], settings: DetectorSettings
) -> tuple[list[drift.Finding], list[str]]:
    """Return the findings of all tables, largest excess first, and the tables whose statistics the release lacks.

    Raises:
      ReleaseError: the release is missing or damaged, or not signed as it should be.
      StorageError: the store could not be read.
    """
    findings, lacking = [], []
    trusted = [Path(file) for file in settings.trusted_keys]
    with open_store(settings.releases).reading(version, trusted) as release:
        for table, columns in settings.columns.items():
            before = release / reader.STATISTICS / table / names.STATISTICS_FILE
            if not before.is_file():  # a release of an earlier version of twostep, or without this table
                lacking.append(table)
                continue
            uri = artifact_utils.get_single_uri(inputs[names.STATISTICS_INPUTS[table]])
            now = Path(uri) / f"Split-{names.ALL}" / names.STATISTICS_FILE
            findings += drift.compare(table, _read(before), _read(now), columns, settings.bounds)
    return sorted(findings, key=lambda finding: -finding.excess), lacking


def _read(file: Path) -> statistics_pb2.DatasetFeatureStatistics:
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets[0]


def _line(
    release: str | None, not_compared: str | None, findings: list[drift.Finding], beyond: list[drift.Finding]
) -> str:
    """Return the line of progress: what was not compared, and the largest changes."""
    words = [] if not_compared is None else [f"not compared: {not_compared}"]
    if findings:
        shown = [f"{_place(finding)} {finding.sentence()}" for finding in findings[:_MOST_SHOWN]]
        against = f"{len(beyond)} of {len(findings)} measures beyond their bound, against release {release}"
        words.append(f"{against}: {'; '.join(shown)}")
    return "; ".join(words)


def _place(finding: drift.Finding) -> str:
    return finding.table if finding.column is None else f"{finding.table}.{finding.column}"


def _error(release: str, beyond: list[drift.Finding]) -> DataError:
    worst, *others = beyond
    more = f"; and {len(others)} more beyond their bounds: " if others else ""
    more += ", ".join(f"{_place(each)} {each.measure}" for each in others[:10])
    return DataError(
        worst.table,
        "the table" if worst.column is None else f"column {worst.column}",
        f"{worst.sentence()}, against the release in force {release}{more}",
        "Correct the delivery; or, if the change is intended, raise the bounds under `drift` or set `drift.action` to "
        "`report`",
    )
