"""Validation errors of settings as one line each: the key, what was expected and what was found."""

import difflib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from core.printable import one_line
from core.settings import Settings, allowed_range

_MAX_VALUE_LENGTH = 60  # the maximum number of characters of a wrong value in a message
_NUMBER_ERRORS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def explained(model: type[BaseModel], error: Any) -> str:
    """Return the message for `error`, one of `ValidationError.errors()` when `model` was validated."""
    place, known, bounds, renamed = _place(model, error["loc"])
    place = one_line(place, 200)
    found, context = error["input"], error.get("ctx", {})
    shown = one_line(repr(found), _MAX_VALUE_LENGTH)
    match error["type"]:
        case "extra_forbidden":
            key = str(error["loc"][-1])
            if key in renamed:
                return f"{place}: is now called `{renamed[key]}`. Rename the key"
            return f"{place}: is not a known key.{_did_you_mean(key, known)}"
        case "missing":
            return f"{place}: is required but missing"
        case "union_tag_not_found":
            return f"{place}: has no `kind`. `twostep config explain {place}` lists the kinds"
        case "union_tag_invalid":
            tag = one_line(repr(context["tag"]), _MAX_VALUE_LENGTH)
            return f"{place}: kind should be one of {context['expected_tags']}; found {tag}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{place}: should be a mapping of keys to values; found {shown}"
        case "value_error" if not place:
            # An error of the whole configuration: its message already names the key.
            return f"{context['error']}"
        case "value_error":
            message = str(context["error"])
        case _:
            message = error["msg"].replace("Input should", "should", 1).replace("Tuple should", "list should", 1)
            message = message.replace("valid tuple", "list", 1)
    allowed = f". Allowed: {bounds}" if error["type"] in _NUMBER_ERRORS and bounds else ""
    return f"{place}: {message}" + ("" if isinstance(found, dict | Settings) else f"; found {shown}{allowed}")


def _place(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, list[str], str, Mapping[str, str]]:
    """Return the location of an error as a dotted key, and the known keys, range and `RENAMED` of its last part."""
    inside: Any = model
    parts: list[str] = []
    known: list[str] = []
    bounds = ""
    renamed: Mapping[str, str] = {}
    for part in location:
        while get_origin(inside) is Annotated:
            inside = get_args(inside)[0]
        models = [each for each in get_args(inside) if hasattr(each, "model_fields")]
        if len(models) == 1 and get_origin(inside) in (Union, UnionType):  # an optional group
            inside = models[0]
        known, renamed = [], {}
        if hasattr(inside, "model_fields"):
            known, renamed = list(inside.model_fields), getattr(inside, "RENAMED", {})
            field = inside.model_fields.get(part)
            bounds = allowed_range(field.metadata) if field is not None else ""
            inside = field.annotation if field is not None else None
        elif get_origin(inside) in (Union, UnionType) and len(models) > 1:
            # Pydantic adds the kind of a feature to the location, which is not a key of the file.
            inside = next((model for model in models if model.model_fields["kind"].default == part), None)
            continue
        else:
            inside = next(iter(get_args(inside)[-1 if get_origin(inside) is dict else 0 :]), None)
            bounds = allowed_range(get_args(inside)[1:]) if get_origin(inside) is Annotated else ""
        parts.append(str(part))
    return ".".join(parts), known, bounds, renamed


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a sentence with the most similar known key, or with all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean `{close[0]}`?"
    return f" Known keys: {', '.join(known)}" if known else " `twostep config explain` lists the known keys."
