"""Kinds of features that a user wrote: imported by `module:Class`, checked, and every failure named."""

import contextlib
import importlib
import sys
from typing import Any

from pydantic import ValidationError

from core import mistakes
from core.printable import one_line
from transform.features import Feature, Indices, Numbers, Raw


def feature(kind: str, values: dict[str, Any]) -> Feature:
    """Return a feature of a user's own kind.

    Args:
      kind: `module:Class`.
      values: its settings, `kind` among them.

    Raises:
      ValueError: the module or the class fails in any way, `sys.exit` included, or is no kind of feature.
    """
    model = _imported(kind)
    try:
        made = model.model_validate(values)
        _check_contract(made)
    except ValidationError as error:
        wrong = "; ".join(mistakes.explained(model, each) for each in error.errors())
        raise ValueError(f"a setting of {kind} is wrong: {wrong}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"kind {kind!r} cannot be used: {_raised(error)}") from None
    return made


def _imported(path: str) -> type[Feature]:
    """Return the class that `module:Class` names. Raises: ValueError."""
    module, _, name = path.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a module prints is no output of a command
            found = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(
            f"kind {path!r} should be `module:Class` of a module on the Python path, put there by installing it or by "
            f"PYTHONPATH; importing {module!r} gives {_raised(error)}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Feature)):
        raise ValueError(f"kind {path!r} should be a subclass of transform.features.Feature; found {found!r}")
    return found


def _check_contract(made: Feature) -> None:
    """Check what a kind says of its column. Raises: ValueError."""
    raw, outputs = made.raw, made.outputs("x")
    if not isinstance(raw, Raw | None):
        raise ValueError(f"`raw` should be transform.features.Raw or None; found {one_line(repr(raw))}")
    if not isinstance(outputs, list | tuple) or not all(isinstance(each, Indices | Numbers) for each in outputs):
        raise ValueError(f"`outputs` should be a list of Indices and Numbers; found {one_line(repr(outputs))}")


def _raised(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error, 200)}"
