"""The resources of a node's container: cores, memory and accelerators."""

import re

from pydantic import Field, field_validator, model_validator

from core.settings import Settings


class Resources(Settings):
    """The resources that the container of a node gets on Kubeflow Pipelines and Vertex AI."""

    cpu: float | None = Field(None, gt=0, le=1000, description="The number of cores; by default the orchestrator's.")
    memory_gb: float | None = Field(
        None, gt=0, le=20_000, description="The memory in GB; by default the orchestrator's."
    )
    accelerator: str | None = Field(
        None, description="The type of accelerator, such as nvidia-l4, or nvidia.com/gpu on Kubeflow; none by default."
    )
    accelerators: int = Field(
        0, ge=0, le=16, description="The number of accelerators; 1 where only `accelerator` is given."
    )

    @field_validator("accelerator")
    @classmethod
    def _one_word(cls, accelerator: str | None) -> str | None:
        if accelerator is not None and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?", accelerator):
            raise ValueError("should be a type of accelerator, such as nvidia-l4")
        return accelerator

    @model_validator(mode="after")
    def _type_and_number(self) -> "Resources":
        if self.accelerator is None and self.accelerators:
            raise ValueError("`accelerators` needs `accelerator`, their type, such as nvidia-l4")
        if self.accelerator is not None and "accelerators" in self.model_fields_set and not self.accelerators:
            raise ValueError("`accelerator` needs at least 1 of `accelerators`; remove one of both keys")
        return self

    @property
    def number_of_accelerators(self) -> int:
        """Return the number of accelerators, 1 where only the type is given."""
        return 0 if self.accelerator is None else self.accelerators or 1
