"""The base of every configuration model: frozen, and unknown keys are errors."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen group of settings; each field says in one sentence what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True)
