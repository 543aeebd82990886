"""The import and the check of user-defined feature kinds, which a configuration names as `module:Class`."""

import contextlib
import importlib
import sys
from typing import Any

from pydantic import ValidationError

from core import mistakes
from core.printable import one_line
from transform.columns import RawColumn
from transform.features import Feature, Indices, Numbers


def feature(kind: str, values: dict[str, Any]) -> Feature:
    """Return a feature of a user-defined kind.

    Args:
      kind: the path of the kind's class, `module:Class`.
      values: the settings of the feature, `kind` among them.

    Raises:
      ValueError: the module or the class fails in any way, `sys.exit` included, the class is no feature kind, or a
        setting is wrong.
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
        with contextlib.redirect_stdout(sys.stderr):  # stdout is left to the command's own output
            model = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(
            f"kind {path!r} should be `module:Class` of a module on the Python path, put there by installing it or by "
            f"PYTHONPATH; importing {module!r} raised {_raised(error)}"
        ) from None
    if not (isinstance(model, type) and issubclass(model, Feature)):
        raise ValueError(f"kind {path!r} should be a subclass of transform.features.Feature; found {model!r}")
    return model


def _check_contract(made: Feature) -> None:
    """Check the types of a feature's `raw` and `outputs`. Raises: ValueError."""
    raw, outputs = made.raw, made.outputs("x")
    if not isinstance(raw, RawColumn | None):
        raise ValueError(f"`raw` should be a transform.columns.RawColumn or None; found {one_line(repr(raw))}")
    if not isinstance(outputs, list | tuple) or not all(isinstance(each, Indices | Numbers) for each in outputs):
        raise ValueError(f"`outputs` should be a list of Indices and Numbers; found {one_line(repr(outputs))}")


def _raised(error: BaseException) -> str:
    """Return the type and message of an error."""
    return f"{type(error).__name__}: {one_line(error, 200)}"
