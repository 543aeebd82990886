"""A store of ML Metadata in PostgreSQL that accepts backslashes.

ML Metadata 1.21 puts the literal of libpq between quotes of its own. That of a text with a backslash begins with ` E'`, so
the statement is wrong, and JSON within JSON, which TFX records as parameters of nodes, always has backslashes. Texts are
therefore written with another character, of Unicode's private use, in place of each backslash.
"""

import re
from collections.abc import Callable, MutableMapping
from typing import Any

import ml_metadata
from google.protobuf.message import Message

_BACKSLASH, _ESCAPE = "\ue05c", "\ue05d"  # what stands for a backslash; what stands before either of the two in a text


class Store(ml_metadata.MetadataStore):  # type: ignore[misc]
    """A MetadataStore that encodes what it writes and decodes what it reads."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        """Call a method of ML Metadata; see the overridden method."""
        encoded = type(request)()
        encoded.CopyFrom(request)
        _change(encoded, encode)
        super()._call_method(method_name, encoded, response)
        _change(response, decode)


def encode(text: str) -> str:
    """Return a text without backslashes, from which `decode` makes the text again."""
    return re.sub(f"[{_BACKSLASH}{_ESCAPE}]", lambda found: _ESCAPE + found[0], text).replace("\\", _BACKSLASH)


def decode(text: str) -> str:
    """Return the text that was encoded."""
    return re.sub(f"{_ESCAPE}(.)|{_BACKSLASH}", lambda found: found[1] or "\\", text, flags=re.DOTALL)


def _change(message: Message, change: Callable[[str], str]) -> None:
    """Replace all texts in a message, those in maps and in nested messages too."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, change(value))
        elif isinstance(value, Message):
            _change(value, change)
        elif isinstance(value, MutableMapping):
            _change_map(value, change)
        elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING:
            value[:] = [change(each) for each in value]
        elif field.cpp_type == field.CPPTYPE_MESSAGE:
            for each in value:
                _change(each, change)


def _change_map(values: Any, change: Callable[[str], str]) -> None:
    """Replace all texts in a map of a message: its keys, and its values, which are texts, messages or numbers."""
    for key in list(values):
        name = change(key) if isinstance(key, str) else key
        if isinstance(values[key], Message):
            _change(values[key], change)
            if name != key:
                values[name].CopyFrom(values[key])
        else:
            values[name] = change(values[key]) if isinstance(values[key], str) else values[key]
        if name != key:
            del values[key]
