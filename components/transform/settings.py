"""The settings of Transform."""

from pydantic import Field

from core.settings import Settings
from transform.features import Features


class TransformSettings(Settings):
    """The settings of Transform."""

    features: Features = Field(description="The feature configuration.")
