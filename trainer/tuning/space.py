"""The search space of a model: each setting declares its dimension, and a search may change it. No TensorFlow here."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from core.settings import Settings

_KEY = "search"  # the key of a field's dimension in its `json_schema_extra`


class Range(Settings):
    """All values of an interval; integers only for a setting that is an integer."""

    low: float = Field(description="The lowest value.")
    high: float = Field(description="The highest value.")
    log: bool = Field(False, description="Whether values are sampled on a logarithmic scale.")

    @model_validator(mode="after")
    def _check_bounds(self) -> "Range":
        """Check the bounds. Raises: ValueError."""
        if self.low >= self.high:
            raise ValueError(f"low should be below high; found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low should be above 0 where log is true; found {self.low:g}")
        return self

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


class Choices(Settings):
    """A list of values."""

    choices: tuple[Any, ...] = Field(min_length=1, description="The values, as JSON.")

    @field_validator("choices", mode="before")
    @classmethod
    def _as_json(cls, choices: Any) -> Any:
        return json.loads(json.dumps(choices))

    def __str__(self) -> str:
        return " | ".join(map(label, self.choices))


Dimension = Range | Choices
Space = dict[str, Dimension]  # setting → its dimension


def between(low: float, high: float, log: bool = False) -> dict[str, Any]:
    """Return the `json_schema_extra` of a setting that is searched in an interval."""
    return {_KEY: {"low": low, "high": high, "log": log}}


def among(*choices: Any) -> dict[str, Any]:
    """Return the `json_schema_extra` of a setting that is searched among some values."""
    return {_KEY: {"choices": choices}}


def label(value: Any) -> str:
    """Return a choice as text: a string itself, another value as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def read(values: Mapping[str, Any]) -> Space:
    """Return a space from JSON: setting → `{"low": 1, "high": 9, "log": true}` or `{"choices": [1, 2]}`.

    A list, such as `[1, 2]`, is short for its values as choices.

    Raises:
      ValueError: a dimension has none of these forms; the message names the setting.
    """
    space: Space = {}
    for name, value in values.items():
        given = {"choices": value} if isinstance(value, list) else value
        kind: type[Dimension] = Choices if isinstance(given, Mapping) and "choices" in given else Range
        try:
            space[name] = kind.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}".lstrip(": ")
                for each in error.errors()
            )
            raise ValueError(
                f'{name}: should be {{"low": …, "high": …, "log": true}}, a list of choices, or null; '
                f"found {json.dumps(value)} ({faults})"
            ) from None
    return space


def resolve(settings: Settings, changes: Mapping[str, Any]) -> Space:
    """Return the space of a search, extended to contain `settings`.

    Args:
      settings: the settings of the model, as configured.
      changes: setting → the dimension, in the form of `read`, that replaces the declared one; None takes the setting
        out of the space, so that it keeps its configured value.
    Raises:
      ValueError: a key of `changes` is no setting, a value is not valid for its setting, or the space is empty.
    """
    fields = type(settings).model_fields
    unknown = [name for name in changes if name not in fields]
    if unknown:
        raise ValueError(f"{unknown[0]!r} should be one of {', '.join(fields)}")
    declared = {name: each[_KEY] for name, field in fields.items() if _KEY in (each := _extra(field))}
    wanted = {name: value for name, value in (declared | dict(changes)).items() if value is not None}
    space = {name: _extended(name, each, getattr(settings, name)) for name, each in read(wanted).items()}
    for name, dimension in space.items():
        _check(settings, name, dimension)
    if not space:
        raise ValueError(
            f"the search space is empty; give a dimension of at least one setting: {', '.join(fields) or 'none'}"
        )
    return space


def is_whole(dimension: Dimension, value: Any) -> bool:
    """Return whether a dimension is a range of integers: whether `value`, the configured one, is an integer."""
    return isinstance(dimension, Range) and isinstance(value, int)


def encoded(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searched settings in the form of KerasTuner, where the label of a choice stands for the choice."""
    return {
        name: label(params[name]) if isinstance(dimension, Choices) else params[name]
        for name, dimension in space.items()
    }


def decoded(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the searched settings from the form of KerasTuner, with choices in place of their labels."""
    params = {}
    for name, dimension in space.items():
        by_label = {label(choice): choice for choice in dimension.choices} if isinstance(dimension, Choices) else {}
        params[name] = by_label.get(values[name], values[name])
    return params


def _extra(field: Any) -> Mapping[str, Any]:
    """Return the `json_schema_extra` of a field, empty where it has none."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}


def _extended(name: str, dimension: Dimension, value: Any) -> Dimension:
    """Return a dimension extended to contain the configured value. Raises: ValueError."""
    if isinstance(dimension, Choices):
        known = label(value) in map(label, dimension.choices)
        return dimension if known else Choices(choices=(value, *dimension.choices))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: is configured as {label(value)}, which is not a number. Give a list of choices")
    if dimension.log and value <= 0:
        raise ValueError(
            f"{name}: is configured as {value:g}, but log needs values above 0. Set it above 0 in the configuration, "
            "or give a list of choices"
        )
    return Range(low=min(dimension.low, value), high=max(dimension.high, value), log=dimension.log)


def _check(settings: Settings, name: str, dimension: Dimension) -> None:
    """Check that the bounds, or all choices, are valid values of a setting. Raises: ValueError."""
    values = dimension.choices if isinstance(dimension, Choices) else (dimension.low, dimension.high)
    if is_whole(dimension, getattr(settings, name)):
        values = tuple(int(value) if value == int(value) else value for value in values)
    for value in values:
        try:
            type(settings).model_validate({**settings.model_dump(), name: value})
        except ValidationError as error:
            raise ValueError(
                f"{name}: cannot be {label(value)}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
