"""The reader of configuration files: YAML of bounded size and depth, with plain values and unique keys."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from core.errors import UsageError
from core.printable import one_line

MOST_BYTES = 1_000_000
MOST_NODES = 10_000
MOST_DEPTH = 50
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_MERGE = f"{_TAG}merge"


def read(path: Path) -> Any:
    """Return the values of a YAML file.

    Raises:
      UsageError: the file is missing, is no regular text file, is too large, or is not plain YAML.
    """
    text = _text(path)
    try:
        _check_size(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return None
        for problem in _problems(node, set()):
            raise _RefusedError(*problem)
        _check_expansion(node, {})
        return yaml.safe_load(text)
    except _RefusedError as refused:
        raise UsageError(f"{path}: line {refused.line}: {refused.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise UsageError(f"{path}: is not valid YAML: {_explained(error)}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not valid YAML: {one_line(error, 200)}") from None
    except (ValueError, OverflowError) as error:  # a number of thousands of digits
        raise UsageError(f"{path}: holds a value that cannot be read: {one_line(error, 200)}") from None


class _RefusedError(Exception):
    """Valid YAML that is not allowed in a configuration."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line, self.reason = line, reason


def _text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a FIFO would block until a writer opens it
            raise UsageError(f"{path}: cannot be read: should be a YAML file, and is a folder, a pipe or a device")
        if status.st_size > MOST_BYTES:
            raise UsageError(
                f"{path}: should be at most {MOST_BYTES:,} bytes, as a configuration is; found {status.st_size:,}"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file. `examples/` holds configurations to start from.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{one_line(path, 200)}: cannot be read as UTF-8 text: {one_line(error, 200)}") from None


def _check_size(text: str) -> None:
    """Raise _RefusedError for too many or too deeply nested nodes; called before PyYAML composes them recursively."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > MOST_DEPTH:
            raise _RefusedError(line, f"is nested deeper than {MOST_DEPTH} levels")
        if nodes > MOST_NODES:
            raise _RefusedError(line, f"the file should hold at most {MOST_NODES:,} keys and values; it holds more")


def _problems(node: yaml.Node, seen: set[int]) -> Iterator[tuple[int, str]]:
    """Yield the line and the problem of each value that is not plain; a node with aliases is visited once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    line = node.start_mark.line + 1
    if node.tag not in _PLAIN:
        yield line, _about_tag(node)
    elif isinstance(node, yaml.ScalarNode):
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in node.value):
            yield line, f"text should hold no NUL and no lone surrogate; found {one_line(node.value)}"
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _problems(each, seen)
    elif isinstance(node, yaml.MappingNode):
        yield from _problems_of_mapping(node, seen)


def _problems_of_mapping(node: yaml.MappingNode, seen: set[int]) -> Iterator[tuple[int, str]]:
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != _MERGE:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                found = one_line(key.value) if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                yield line, f"a key should be text; found {found}. Write it in quotes"
                continue
            if key.value in lines:
                yield line, f"the key `{one_line(key.value)}` is set twice, first on line {lines[key.value]}. Keep one"
            lines[key.value] = line
            yield from _problems(key, seen)
        yield from _problems(value, seen)


def _about_tag(node: yaml.Node) -> str:
    if node.tag == f"{_TAG}timestamp":
        return f"{one_line(node.value)} is a date in YAML. Write it in quotes: '{one_line(node.value)}'"
    if node.tag in (_MERGE, f"{_TAG}value"):
        return f"{one_line(node.value)} has a meaning of its own in YAML. Write it in quotes"
    tag = node.tag.replace(_TAG, "!!")
    return f"should be text, a number, true, false, null, a list or a mapping; found the tag {one_line(tag)}"


def _check_expansion(node: yaml.Node, sizes: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return the number of nodes below `node` with its aliases expanded, and their depth."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    line = node.start_mark.line + 1
    if id(node) in sizes:
        found = sizes[id(node)]
        if found is None:
            raise _RefusedError(line, "an anchor holds an alias of itself")
        return found
    sizes[id(node)] = None
    if isinstance(node, yaml.MappingNode):
        below = [each for pair in node.value for each in pair]
    else:
        below = list(node.value)
    parts = [_check_expansion(each, sizes) for each in below]
    size, depth = 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)
    if size > MOST_NODES or depth > MOST_DEPTH:
        raise _RefusedError(
            line, f"its aliases, expanded, make more than {MOST_NODES:,} values or {MOST_DEPTH} levels. Remove some"
        )
    sizes[id(node)] = size, depth
    return size, depth


def _explained(error: yaml.MarkedYAMLError) -> str:
    """Return the position and the description of a syntax error in one line."""
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    words = one_line(error.problem or error.context or "syntax error", 200)
    hint = ". Indent with spaces, not tabs" if "'\\t'" in words else ""
    return f"{place}{words}{hint}"
