"""Conditions on the attributes of items. No NumPy and no Arrow here, since the client imports them."""

from pydantic import Field, model_validator

from core.settings import Settings


class Condition(Settings):
    """A condition that the items of an answer fulfil."""

    column: str = Field(description="The column of the items table.")
    any_of: tuple[str | int | float, ...] | None = Field(
        None, min_length=1, max_length=1000, description="The item has one of these values."
    )
    none_of: tuple[str | int | float, ...] | None = Field(
        None, min_length=1, max_length=1000, description="The item has none of these values."
    )
    at_least: float | None = Field(None, description="The smallest value of a numeric column.")
    at_most: float | None = Field(None, description="The largest value of a numeric column.")

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        """Check that there is a condition. Raises: ValueError."""
        if all(value is None for value in (self.any_of, self.none_of, self.at_least, self.at_most)):
            raise ValueError("should have any_of, none_of, at_least or at_most")
        return self
