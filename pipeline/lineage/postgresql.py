"""A store of ML Metadata in PostgreSQL that behaves as one in SQLite, which TFX was written for.

ML Metadata 1.21 puts the literal of libpq between quotes of its own, but the literal of a text with a backslash begins
with ` E'`, so the statement is wrong; and its index over texts takes some 2,700 bytes at most. The parameters of nodes
that TFX records hold JSON within JSON, so they have backslashes and may be long. Such texts are stored as messages of
the type StringValue, whose column has neither limit.

PostgreSQL returns rows in any order, and TFX pairs artifacts with the events in the order of their ids.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

import ml_metadata
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

_MOST_BYTES = 2000  # of a text in the index
_PROPERTIES = "custom_properties"
_ENTITIES = ("artifacts", "executions", "contexts")


class Store(ml_metadata.MetadataStore):  # type: ignore[misc]
    """A MetadataStore that accepts any text as a custom property, and returns rows in the order of their ids."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        """Call a method of ML Metadata; see the overridden method."""
        written = type(request)()
        written.CopyFrom(request)
        _change(written, wrap)
        super()._call_method(method_name, written, response)
        _change(response, unwrap)
        if not any(field.name == "options" for field, _ in request.ListFields()):  # which ask for another order
            _sort(response)


def wrap(value: Any) -> None:
    """Turn the text in a Value, if PostgreSQL would refuse it, into a message."""
    text = value.string_value
    if "\\" in text or len(text.encode()) > _MOST_BYTES:
        value.proto_value.Pack(StringValue(value=text))


def unwrap(value: Any) -> None:
    """Turn the message in a Value into the text that `wrap` has put into it."""
    message = StringValue()
    if value.HasField("proto_value") and value.proto_value.Unpack(message):
        value.string_value = message.value


def _change(message: Message, change: Callable[[Any], None]) -> None:
    """Apply a function to all values of custom properties in a message and in those nested in it."""
    for field, content in message.ListFields():
        if field.name == _PROPERTIES:
            for value in content.values():
                change(value)
        elif field.cpp_type == field.CPPTYPE_MESSAGE and not isinstance(content, MutableMapping):
            for nested in [content] if isinstance(content, Message) else content:
                _change(nested, change)


def _sort(response: Message) -> None:
    """Sort the artifacts, executions and contexts in a response by their ids."""
    for field, content in response.ListFields():
        if field.name in _ENTITIES and not isinstance(content, Message):
            content.sort(key=lambda each: each.id)
