"""The settings that the DAG passes to the nodes of both trainers and of the Tuner. No TensorFlow here."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from core.query_settings import QuerySettings, WindowSettings
from core.settings import Settings
from trainer.distribution.settings import Training
from transform.features import Features

SETTINGS, CODE = "settings", "code"  # the keys of a `custom_config`: the settings as JSON, the digest of the code


class StepSettings(Settings):
    """The settings of a model and of its features."""

    model: str = Field(description="The name of a registered model.")
    params: dict[str, Any] = Field(description="The settings of the model.")
    features: Features = Field(description="The feature configuration.")
    seed: int = Field(description="The seed of the model.")
    training: Training = Field(default=Training(), description="The devices on which networks are trained.")


class RetrievalStepSettings(StepSettings):
    """The settings of RetrievalTrainer."""

    queries: QuerySettings = Field(description="The settings of the queries of eval, on which a fit is validated.")
    max_queries: int = Field(
        ge=1, description="The maximum number of queries of eval; if there are more, a random sample is used."
    )
    windows: WindowSettings = Field(
        description="The settings of the windows of train; for each window one more model is fitted, on the events "
        "before the window."
    )


class RankingStepSettings(StepSettings):
    """The settings of RankingTrainer."""

    signals: tuple[str, ...] = Field(description="The names of the retriever's signals, inputs of the ranker.")


class TunerSettings(Settings):
    """The settings of the Tuner of one step."""

    step: Literal["retrieval", "ranking"] = Field(description="The step whose model is tuned.")
    retrieval: RetrievalStepSettings | None = Field(None, description="The settings of the step `retrieval`.")
    ranking: RankingStepSettings | None = Field(None, description="The settings of the step `ranking`.")
    space: dict[str, Any] = Field(description="The search space, in the form that `trainer.tuning.space.read` expects.")
    trials: int = Field(ge=1, description="The maximum number of trials.")
    minutes: float | None = Field(description="The maximum time of all trials, in minutes; null for no limit.")
    folder: str | None = Field(
        description="The folder of finished trials; null for a folder below the Tuner's working folder."
    )

    @model_validator(mode="after")
    def _has_its_step(self) -> "TunerSettings":
        if (self.retrieval is None) != (self.step != "retrieval") or (self.ranking is None) != (self.step != "ranking"):
            raise ValueError(f"should have the settings of the step {self.step}, and of no other")
        return self

    @property
    def of_step(self) -> StepSettings:
        """Return the settings of the step that is tuned."""
        return cast(StepSettings, getattr(self, self.step))

    def conditions(self) -> dict[str, Any]:
        """Return the settings that determine the score of a trial, in addition to its params, the data and the code."""
        return {
            "step": self.step,
            **self.of_step.model_dump(mode="json", exclude={"params", "windows", "signals", "training"}),
        }


def custom_config(settings: Settings, code: str) -> dict[str, str]:
    """Return the `custom_config` of a Trainer or Tuner node from its settings and the digest of the code."""
    return {SETTINGS: settings.canonical_json(), CODE: code}


def settings_json(config: Mapping[str, Any]) -> str:
    """Return the settings in a `custom_config`, as JSON."""
    return config[SETTINGS]
