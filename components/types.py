"""Our artifact types: what TFX's standard ones do not cover.

Kubeflow Pipelines carries a type by its name, which must have the form `package.Class` and is imported from there.
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
    """What an evaluation measured (`core.names.EVALUATION_FILE`)."""

    TYPE_NAME = "components.RecommenderEvaluation"
    TYPE_ANNOTATION = system_artifacts.Metrics


class DriftReport(Artifact):
    """How far each table is from the one that the release in force was made from (`core.names.DRIFT_FILE`)."""

    TYPE_NAME = "components.DriftReport"
    TYPE_ANNOTATION = system_artifacts.Metrics


class Release(Artifact):
    """A release, or why there is none.

    Its uri is the folder of the release, so that the cache of TFX notices when that folder is gone. Custom properties:
    released (1 or 0); version, content_digest and path of a release; reason where there is none.
    """

    TYPE_NAME = names.RELEASE_TYPE
