"""Every configuration key with its type, default and description, from the models that check a configuration."""

import datetime
import difflib
import json
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.errors import UsageError
from core.printable import one_line
from core.settings import allowed_range
from pipeline.config import Config
from trainer.steps import REGISTRIES
from transform.features import Feature

ANY_KEY = "<name>"  # the placeholder for keys that the user chooses
_WIDTH = 100


@dataclass(frozen=True)
class Key:
    """One key.

    Args:
      name: the last part of the dotted key.
      kind: the type of the value, in words.
      default: as YAML; empty if the key is required or a group.
      meaning: one sentence.
      below: the keys of a group.
      required: whether it must be given.
      where: the choice on which the key exists, such as `model: two_tower`; empty if the key always exists.
    """

    name: str
    kind: str
    default: str
    meaning: str
    below: tuple["Key", ...] = ()
    required: bool = False
    where: str = ""


def explain(key: str | None = None) -> str:
    """Return all keys, or the dotted `key` and the keys below it, as commented YAML for pasting into a configuration.

    Raises:
      UsageError: there is no such key.
    """
    if key is not None and (of_model := _of_model(key)) is not None:
        return "\n".join(of_model) + "\n"
    keys: Sequence[Key] = tree()
    indent, lines = 0, []
    if key is not None:
        *above, _ = parts = key.split(".")
        for depth in range(len(parts)):
            keys = _matching(keys, parts, depth)
            if depth < len(above):
                lines.append(f"{'  ' * depth}{parts[depth]}:")
                keys = [below for each in keys for below in each.below]
        indent = len(above)
    return "\n".join([*lines, *_rendered(keys, indent)]) + "\n"


def _of_model(key: str) -> list[str] | None:
    """Return the lines on `STEP.params.MODEL` or `STEP.params.MODEL.SETTING`; None if `key` names no model.

    If a model and a setting have the same name, such as `ranking.params.trees`, `key` means the model.

    Raises:
      UsageError: the model has no such setting.
    """
    parts = key.split(".")
    if len(parts) < 3 or parts[0] not in REGISTRIES or parts[1] != "params":
        return None
    step, _, model, *setting = parts
    if model not in REGISTRIES[step].entries:
        return None
    settings = REGISTRIES[step].entries[model].settings
    keys = _keys(settings)
    if setting:
        keys = tuple(each for each in keys if [each.name] == setting)
        if not keys:
            close = difflib.get_close_matches(".".join(setting), settings.model_fields, n=1)
            hint = f"Did you mean `{close[0]}`? " if close else ""
            raise UsageError(
                f"{key}: is not a known key. {hint}The settings of {model} are {', '.join(settings.model_fields)}"
            )
    meaning = (settings.__doc__ or "").strip().splitlines()[0]
    return [f"{step}:", f"  # {meaning}", f"  model: {model}", "  params:", *_rendered(keys, 2)]


def tree() -> tuple[Key, ...]:
    """Return all keys of a configuration."""
    return tuple(_with_params(key) for key in _keys(Config))


def _with_params(key: Key) -> Key:
    """Fill in the settings of every registered model below `retrieval.params` and `ranking.params`."""
    if key.name not in REGISTRIES:
        return key
    registry = REGISTRIES[key.name]
    settings = tuple(
        replace(below, where=f"model: {name}")
        for name, entry in registry.entries.items()
        for below in _keys(entry.settings)
    )
    changed = {
        "params": lambda old: replace(old, below=settings),
        "model": lambda old: replace(old, kind=f"one of {', '.join(registry.entries)}"),
    }
    return replace(key, below=tuple(changed.get(below.name, lambda old: old)(below) for below in key.below))


def _keys(model: type[BaseModel]) -> tuple[Key, ...]:
    return tuple(_key(name, field) for name, field in model.model_fields.items())


def _key(name: str, field: FieldInfo) -> Key:
    kind, below = _kind(field.annotation)
    bounds = _constraints(field.metadata)
    required = field.is_required()
    group = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    value = None if required else field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        group, below = True, _with_defaults(below, value)
    default = "" if required or group else _yaml(value)
    return Key(name, f"{kind}, {bounds}" if bounds else kind, default, field.description or "", below, required)


def _with_defaults(keys: tuple[Key, ...], value: BaseModel) -> tuple[Key, ...]:
    """Return the keys of a group that has a default; a required key takes its default from `value`, the group's."""
    return tuple(
        replace(key, default=_yaml(getattr(value, key.name)), required=False) if key.required else key for key in keys
    )


def _kind(annotation: Any) -> tuple[str, tuple[Key, ...]]:
    """Return the type of a value in words, and the keys below it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner)), ()
    if origin in (Union, types.UnionType):
        return _union_kind([part for part in inner if part is not type(None)], type(None) in inner)
    if origin is dict:
        kind, below = _kind(inner[1])
        if not below:
            return ("mapping" if inner[1] is Any else f"mapping to {kind}"), ()
        return "mapping", (Key(ANY_KEY, kind, "", "", below),)
    if origin in (tuple, list):
        kind, below = _kind(inner[0])
        if origin is tuple and Ellipsis not in inner:
            return f"list of {len(inner)}, each {kind}", below
        return f"list of {kind}", below
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "group", _keys(annotation)
    return {str: "text", int: "integer", float: "number", bool: "true or false", datetime.date: "date"}.get(
        annotation, str(annotation)
    ), ()


def _union_kind(parts: list[Any], optional: bool) -> tuple[str, tuple[Key, ...]]:
    if len(parts) == 1:
        kind, below = _kind(parts[0])
        return (f"{kind} or null" if optional else kind), below
    models = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    if len(models) == len(parts):
        # The field `kind` chooses among the models: list `kind` first, then the settings of each model.
        names = [model.model_fields["kind"].default for model in models]
        more = ", or `module:Class` for a kind of your own" if all(issubclass(each, Feature) for each in models) else ""
        descriptions = "; ".join(_choices(names, models))
        choice = Key("kind", f"one of {', '.join(names)}{more}", "", descriptions, required=True)
        settings = (
            replace(key, where=f"kind: {name}")
            for name, model in zip(names, models, strict=True)
            for key in _keys(model)
            if key.name != "kind"
        )
        return "a kind's name, or a group", (choice, *settings)
    return " or ".join(_kind(part)[0] for part in parts) + (" or null" if optional else ""), ()


def _choices(names: list[str], models: list[type[BaseModel]]) -> Iterator[str]:
    for name, model in zip(names, models, strict=True):
        first = (model.__doc__ or "").strip().splitlines()[0].rstrip(".")
        yield f"{name}: {first[:1].lower()}{first[1:]}"


def _constraints(metadata: Sequence[Any]) -> str:
    """Return the range and the pattern of a field in words; other metadata is left out."""
    patterns = [f"matching {pattern}" for each in metadata if (pattern := getattr(each, "pattern", None))]
    return ", ".join(filter(None, [allowed_range(metadata), *patterns]))


def _yaml(value: Any) -> str:
    """Return a default as one line of YAML."""
    if value is None or value is PydanticUndefined:
        return "null"
    if isinstance(value, str):
        return (
            value if value and value.replace("_", "").replace("-", "").replace(".", "").isalnum() else json.dumps(value)
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, BaseModel):
        return _yaml(value.model_dump(exclude_defaults=True, exclude_none=True))
    return json.dumps(value)


def _rendered(keys: Sequence[Key], indent: int) -> Iterator[str]:
    """Yield the lines of keys, with the description of each key in a comment above it."""
    margin, where = "  " * indent, ""
    for key in keys:
        if key.where != where:
            where = key.where
            yield f"{margin}# ---- where {where}"
        note = "" if key.kind == "group" else f"({key.kind})"
        left_out = key.below and key.default == "null"
        when = "Required." if key.required else "Absent by default." if left_out else ""
        comment = " ".join(filter(None, [key.meaning, note, when]))
        for line in textwrap.wrap(comment, _WIDTH - len(margin) - 2, break_long_words=False, break_on_hyphens=False):
            yield f"{margin}# {line}"
        # Do not print `null` (or an empty value) for a group: the keys printed below it would be invalid YAML.
        default = "" if left_out or (key.below and key.default in ("{}", "[]")) else key.default
        yield f"{margin}{key.name}: {default}".rstrip()
        yield from _rendered(key.below, indent + 1)


def _matching(keys: Sequence[Key], parts: list[str], depth: int) -> list[Key]:
    """Return the keys named `parts[depth]`: several if more than one model has a setting of that name."""
    name = parts[depth]
    found = [key for key in keys if key.name in (name, ANY_KEY)]
    if found:
        return [replace(key, name=name) for key in found]
    place = ".".join(parts[:depth])
    known = list(dict.fromkeys(key.name for key in keys))
    if parts[1:depth] == ["params"] and parts[0] in REGISTRIES:
        known += REGISTRIES[parts[0]].entries
    elsewhere = [path for path in _paths(tree()) if path.rpartition(".")[2] == name]
    close = elsewhere or [".".join([*parts[:depth], each]) for each in difflib.get_close_matches(name, known, n=1)]
    if close:
        hint = f"Did you mean `{close[0]}`?"
    elif known:
        hint = f"Known keys{f' of {place}' if place else ''}: {', '.join(known)}"
    else:
        hint = f"`{place}` has no keys below it."
    raise UsageError(f"{one_line('.'.join(parts))}: is not a known key. {hint}")


def _paths(keys: Sequence[Key], above: str = "") -> Iterator[str]:
    for key in keys:
        yield above + key.name
        yield from _paths(key.below, f"{above}{key.name}.")
