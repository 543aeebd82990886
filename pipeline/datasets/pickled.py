"""Safe reading of a pickled table: nothing is imported, no function is called and no object is created.

A pickle is a program for a stack machine. This module interprets the instructions of a pickled pandas table of numbers
and text, and represents each call as a `Call`: a value with a name and arguments.
"""

import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = ("BININT", "BININT1", "BININT2", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES")


@dataclass(eq=False)
class Call:
    """A call that was not made: the name of the function, its arguments, and the state of the result."""

    name: str
    arguments: tuple
    state: Any = None


def columns(content: bytes, file: str) -> "dict[str, np.ndarray]":
    """Return the columns of a pickled `pandas.DataFrame` without missing labels.

    Args:
      content: the pickle, protocol 5.
      file: the name of the file, for error messages.

    Raises:
      DataError: the content is not such a pickle.
    """
    try:
        frame = as_data(content)
        blocks, (labels, _) = frame.state["_mgr"].arguments
        labels = _array(labels.arguments[1]["data"])
        table: dict[str, np.ndarray] = {}
        for block in blocks:
            values, index, _ = block.arguments
            rows = range(len(labels))[slice(*index.arguments)] if index.name == "builtins.slice" else _array(index)
            table.update(zip((labels[row] for row in rows), _array(values), strict=True))
        return {label: table[label] for label in labels}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(file, "content", f"is not a pickled table ({error})", "Download it again") from error


def as_data(content: bytes) -> Any:
    """Return the value of a pickle, with a `Call` for each object. Raises: ValueError if it is not supported."""
    stack: list[Any] = []
    memo: list[Any] = []
    argument: Any
    for opcode, argument, _ in pickletools.genops(content):
        name = opcode.name
        if name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MEMOIZE":
            memo.append(stack[-1])
        elif name in _LITERALS or name == "BYTEARRAY8":
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name not in ("PROTO", "FRAME", "STOP"):
            _step(name, stack)
    (value,) = stack
    return value


def _step(name: str, stack: list[Any]) -> None:
    """Execute an instruction on the stack. Raises: ValueError for an unsupported one."""
    if name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name == "EMPTY_TUPLE":
        stack.append(())
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "APPENDS":
        values = _since_mark(stack)
        stack[-1].extend(values)
    elif name in ("SETITEM", "SETITEMS"):
        values = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
        stack[-1].update(zip(values[::2], values[1::2], strict=True))
    elif name == "STACK_GLOBAL":
        stack[-2:] = [".".join(stack[-2:])]
    elif name in ("REDUCE", "NEWOBJ"):
        stack[-2:] = [Call(stack[-2], stack[-1])]
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    else:
        raise ValueError(f"instruction {name}")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Pop the values after the last mark, and the mark."""
    mark = len(stack) - 1
    while stack[mark] is not _MARK:
        mark -= 1
    values = stack[mark + 1 :]
    del stack[mark:]
    return values


def _array(call: Call) -> "np.ndarray":
    """Return a NumPy array, pickled as a buffer or element by element. Raises: ValueError."""
    import numpy as np

    if call.name == "numpy.core.numeric._frombuffer":
        buffer, dtype, shape, order = call.arguments
        return np.frombuffer(buffer, dtype=_dtype(dtype)).reshape(shape, order=order)
    if call.name == "numpy.core.multiarray._reconstruct":
        _, shape, dtype, in_columns, values = call.state
        if dtype.arguments[0] != "O8" or in_columns:
            raise ValueError(f"an array of {dtype.arguments[0]}, in columns: {in_columns}")
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array.reshape(shape)
    raise ValueError(f"{call.name} where an array should be")


def _dtype(call: Call) -> "np.dtype":
    """Return a dtype of 64-bit numbers. Raises: ValueError for another one."""
    import numpy as np

    kind, order = call.arguments[0], call.state[1]
    if kind not in ("f8", "i8"):
        raise ValueError(f"numbers of type {kind}")
    return np.dtype(order + kind)
