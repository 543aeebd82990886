"""The base of every configuration model: frozen, and unknown keys are errors."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen group of settings; each field says in one sentence what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_zero(text: str) -> str:
    if "\0" in text:
        raise ValueError("should have no NUL character: no file system takes it in a path")
    return text


PathText = Annotated[str, AfterValidator(_no_zero)]
