"""The settings of ReleasePusher."""

from pydantic import Field

from core.settings import Settings
from serving.settings import ServingSettings


class PusherSettings(Settings):
    """The settings of ReleasePusher."""

    name: str = Field(description="The name of the recommender.")
    seed: int = Field(description="The seed of the run.")
    keep: int = Field(ge=1, description="The number of latest releases that are kept; older ones are deleted.")
    releases: str = Field(description="The folder or URI of the releases.")
    signing_key: str | None = Field(
        None, description="The file of the private key that signs the release; null for no signature."
    )
    serving: ServingSettings = Field(description="The serving settings of the release.")
