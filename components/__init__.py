"""The pipeline's own TFX components: one folder each, with the spec, the executor and the logic that imports no TFX."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return an artifact type, which a task of a compiled pipeline imports by its TYPE_NAME, `components.<Class>`."""
    if name[:1].isupper():
        from components import types

        return getattr(types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
