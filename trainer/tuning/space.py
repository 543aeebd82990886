"""What a search may try of each setting: declared beside it, changed by whoever searches. No TensorFlow here."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from core.settings import Settings

_KEY = "search"  # of a field's extra: what may be tried


class Range(Settings):
    """All values between two; whole ones where the setting is whole."""

    low: float = Field(description="The lowest value.")
    high: float = Field(description="The highest value.")
    log: bool = Field(False, description="Whether equal factors are equally far apart, and not equal steps.")

    @model_validator(mode="after")
    def _holds_something(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low should be below high; found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low should be above 0 where log is true; found {self.low:g}")
        return self

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


class Choices(Settings):
    """A few values."""

    choices: tuple[Any, ...] = Field(min_length=1, description="The values, as JSON has them.")

    @field_validator("choices", mode="before")
    @classmethod
    def _as_json(cls, choices: Any) -> Any:
        return json.loads(json.dumps(choices))

    def __str__(self) -> str:
        return " | ".join(map(label, self.choices))


Dimension = Range | Choices
Space = dict[str, Dimension]  # setting → what may be tried of it


def between(low: float, high: float, log: bool = False) -> dict[str, Any]:
    """For the `json_schema_extra` of a setting: all values between two are worth a trial."""
    return {_KEY: {"low": low, "high": high, "log": log}}


def among(*choices: Any) -> dict[str, Any]:
    """For the `json_schema_extra` of a setting: these values are worth a trial."""
    return {_KEY: {"choices": choices}}


def label(value: Any) -> str:
    """A choice as text: itself, or as JSON where it is no text."""
    return value if isinstance(value, str) else json.dumps(value)


def read(values: Mapping[str, Any]) -> Space:
    """A space from JSON: `{"low": 1, "high": 9, "log": true}`, `{"choices": [1, 2]}` or, the same, `[1, 2]`.

    Raises:
      ValueError: a setting has none of these; the message names it.
    """
    space: Space = {}
    for name, value in values.items():
        given = {"choices": value} if isinstance(value, list) else value
        kind: type[Dimension] = Choices if isinstance(given, Mapping) and "choices" in given else Range
        try:
            space[name] = kind.model_validate(given)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}".lstrip(": ")
                for each in error.errors()
            )
            raise ValueError(
                f'{name}: should be {{"low": …, "high": …, "log": true}}, a list of choices, or null; '
                f"found {json.dumps(value)} ({told})"
            ) from None
    return space


def resolve(settings: Settings, changes: Mapping[str, Any]) -> Space:
    """What is searched around `settings`, which are part of it themselves: a range is widened to hold them.

    Args:
      settings: the model's, as configured.
      changes: setting → what to try of it instead of what is declared, as `read` takes it; null leaves it as it is.
    Raises:
      ValueError: there is no such setting, a value is none that the setting can have, or nothing is left to search.
    """
    fields = type(settings).model_fields
    unknown = [name for name in changes if name not in fields]
    if unknown:
        raise ValueError(f"{unknown[0]!r} should be one of {', '.join(fields)}")
    declared = {name: each[_KEY] for name, field in fields.items() if _KEY in (each := _extra(field))}
    wanted = {name: value for name, value in (declared | dict(changes)).items() if value is not None}
    space = {name: _holding(name, each, getattr(settings, name)) for name, each in read(wanted).items()}
    for name, dimension in space.items():
        _check(settings, name, dimension)
    if not space:
        raise ValueError(
            f"there is nothing to search; say of which settings what to try: {', '.join(fields) or 'none'}"
        )
    return space


def is_whole(dimension: Dimension, value: Any) -> bool:
    """Whether a range is of whole numbers, as the configured value is."""
    return isinstance(dimension, Range) and isinstance(value, int)


def encoded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as KerasTuner holds them: a choice is its label."""
    return {
        name: label(params[name]) if isinstance(dimension, Choices) else params[name]
        for name, dimension in space.items()
    }


def decoded(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that KerasTuner's values stand for."""
    params = {}
    for name, dimension in space.items():
        by_label = {label(choice): choice for choice in dimension.choices} if isinstance(dimension, Choices) else {}
        params[name] = by_label.get(values[name], values[name])
    return params


def _extra(field: Any) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}


def _holding(name: str, dimension: Dimension, value: Any) -> Dimension:
    """With the configured value among what may be tried."""
    if isinstance(dimension, Choices):
        known = label(value) in map(label, dimension.choices)
        return dimension if known else Choices(choices=(value, *dimension.choices))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: is configured as {label(value)}, which no range holds. Give a list of choices")
    if dimension.log and value <= 0:
        raise ValueError(
            f"{name}: is configured as {value:g}, which no range with log holds. Set it above 0 in the configuration, "
            "or give a list of choices"
        )
    return Range(low=min(dimension.low, value), high=max(dimension.high, value), log=dimension.log)


def _check(settings: Settings, name: str, dimension: Dimension) -> None:
    """Whether the setting can have the values at the ends, or all the choices."""
    tried = dimension.choices if isinstance(dimension, Choices) else (dimension.low, dimension.high)
    if is_whole(dimension, getattr(settings, name)):
        tried = tuple(int(value) if value == int(value) else value for value in tried)
    for value in tried:
        try:
            type(settings).model_validate({**settings.model_dump(), name: value})
        except ValidationError as error:
            raise ValueError(
                f"{name}: cannot be {label(value)}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
