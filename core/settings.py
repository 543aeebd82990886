"""The base class of all settings: frozen, with finite numbers, and without unknown keys."""

import json
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

_GROUPED_FROM = 10_000  # the smallest number that is written with commas


class Settings(BaseModel):
    """A frozen group of settings. The description of a field is its documentation.

    Attributes:
      RENAMED: former key → present key; the error for a former key names the present one.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def canonical_json(self) -> str:
        """Return the settings as JSON with sorted keys, so that the order of keys in a file changes no cache key."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, values: Any) -> Any:
        """Refuse `true` where a number is expected, which pydantic would take for 1. Raises: ValueError."""
        for name, value in values.items() if isinstance(values, dict) else ():
            several = value if isinstance(value, list | tuple) else [value]
            field = cls.model_fields.get(name)
            if field and any(isinstance(each, bool) for each in several) and _holds_numbers(field.annotation):
                raise ValueError(f"{name}: should be a number; found {str(value).lower()}")
        return values


def allowed_range(metadata: Iterable[Any]) -> str:
    """Return the bounds among a field's constraints in words: `at least 1, at most 500`; empty without bounds."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(
        f"{word} {_number(bound)}"
        for constraint in metadata
        for each in (constraint.metadata if isinstance(constraint, FieldInfo) else [constraint])
        for name, word in words.items()
        if (bound := getattr(each, name, None)) is not None
    )


def _number(value: float) -> str:
    """Return a bound as text, with commas from `_GROUPED_FROM` on."""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= _GROUPED_FROM else f"{value:g}"


def _holds_numbers(annotation: Any) -> bool:
    """Return whether an annotation consists of number types and None only."""
    if get_origin(annotation) is Annotated:
        return _holds_numbers(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, tuple, list):
        return all(_holds_numbers(part) for part in get_args(annotation) if part not in (type(None), Ellipsis))
    return annotation in (int, float)
