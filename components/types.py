"""The artifact types that TFX lacks.

Kubeflow Pipelines identifies a type by its name, which must have the form `package.Class` and is imported.
"""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
from tfx.types import system_artifacts
from tfx.types.artifact import Artifact

from core import names


class CandidateIndex(Artifact):
    """The index over the catalogue, with the catalogue itself (`core.names.CATALOGUE_FILE`)."""

    TYPE_NAME = "components.CandidateIndex"


class RecommenderEvaluation(Artifact):
    """The metrics of an evaluation (`core.names.EVALUATION_FILE`)."""

    TYPE_NAME = "components.RecommenderEvaluation"
    TYPE_ANNOTATION = system_artifacts.Metrics


class DriftReport(Artifact):
    """The drift of each table compared with the delivery of the release in force (`core.names.DRIFT_FILE`)."""

    TYPE_NAME = "components.DriftReport"
    TYPE_ANNOTATION = system_artifacts.Metrics


class Release(Artifact):
    """A release, or the reason why there is none.

    Its URI is the folder of the release, so that TFX's cache notices when that folder is deleted. Custom properties:
    released (1 or 0); version, content_digest and path of a release; reason without a release.
    """

    TYPE_NAME = names.RELEASE_TYPE
