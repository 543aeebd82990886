"""The artifact types that TFX lacks.

Kubeflow Pipelines imports a type by its `TYPE_NAME`, which must therefore have the form `package.Class`.
"""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
from tfx.types import system_artifacts
from tfx.types.artifact import Artifact

from core import names


class CandidateIndex(Artifact):
    """The index that retrieves items, and the catalogue that it was built from (`core.names.CATALOGUE_FILE`)."""

    TYPE_NAME = "components.CandidateIndex"


class RecommenderEvaluation(Artifact):
    """The metrics of an evaluation (`core.names.EVALUATION_FILE`)."""

    TYPE_NAME = "components.RecommenderEvaluation"
    TYPE_ANNOTATION = system_artifacts.Metrics


class DriftReport(Artifact):
    """The drift of each table compared with the delivery of the release in force (`core.names.DRIFT_FILE`)."""

    TYPE_NAME = "components.DriftReport"
    TYPE_ANNOTATION = system_artifacts.Metrics


class BaselineRelease(Artifact):
    """The release that a run is compared with: its `version` as a custom property, "" if there is none."""

    TYPE_NAME = "components.BaselineRelease"


class Release(Artifact):
    """A release, or the reason why there is none.

    The URI is the folder of the release, so that TFX's cache notices when that folder is deleted. The custom property
    `released` is 1 with a release, which also has `version`, `content_digest` and `path`; it is 0 without a release,
    and `reason` says why.
    """

    TYPE_NAME = names.RELEASE_TYPE
