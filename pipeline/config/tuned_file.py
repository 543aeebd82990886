"""Editing of single values in the text of a configuration; all other text and comments are kept."""

from collections.abc import Mapping
from typing import Any

import yaml


def with_params(text: str, step: str, params: Mapping[str, Any]) -> str:
    """Return the configuration text with the `params` of one step updated.

    A text that cannot be edited in place, such as one with a shared anchor, is rewritten without comments.

    Args:
      text: YAML, a mapping.
      step: retrieval or ranking.
      params: setting → value, for YAML.
    """
    values = yaml.safe_load(text)
    chosen = values.get(step, {})
    wanted = {**values, step: {**chosen, "params": {**chosen.get("params", {}), **params}}}
    changed = text
    try:
        for name, value in params.items():
            changed = _set(changed, [step, "params", name], value)
        as_wanted = yaml.safe_load(changed) == wanted
    except yaml.YAMLError:
        as_wanted = False
    return changed if as_wanted else yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _set(text: str, path: list[str], value: Any) -> str:
    """Return the text with one value set; missing mappings on its path are added."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, part in enumerate(path):
        found = next((each for key, each in node.value if key.value == part), None)
        if found is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _inserted(text, node, part, value, top=depth == 0)
        node = found
    start, end = node.start_mark.index, _end(node)
    return text[:start] + _flow(value) + text[end:]


def _inserted(text: str, mapping: yaml.MappingNode, name: str, value: Any, top: bool) -> str:
    """Return the text with one more key in a mapping: after its last key, or at the end of the file."""
    if top:
        body = "".join(f"  {key}: {_flow(each)}\n" for key, each in value.items())
        return f"{text.rstrip()}\n{name}:\n{body}"
    entry = f"{_flow(name)}: {_flow(value)}"
    if mapping.flow_style:
        if not mapping.value:
            place = _end(mapping) - 1  # before the closing brace
            return text[:place] + entry + text[place:]
        place = _end(mapping.value[-1][1])
        return f"{text[:place]}, {entry}{text[place:]}"
    place = _end(mapping.value[-1][1])
    line_end = text.find("\n", place)
    place = len(text) if line_end < 0 else line_end  # after a comment on the line of the last key
    return f"{text[:place]}\n{' ' * mapping.start_mark.column}{entry}{text[place:]}"


def _end(node: yaml.Node) -> int:
    """Return the offset at which a value ends. For a block that is the end of its last value, before later comments."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _flow(value: Any) -> str:
    """Return a value on one line."""
    dumped = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("\n...")
