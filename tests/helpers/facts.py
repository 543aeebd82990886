"""The facts of a message, which tests pin instead of its wording: keys, files, rows, columns, values and numbers."""

import re

SEPARATOR = " … "


def facts(text: str) -> str:
    """Return a pattern of the messages that have all facts of `text`, which are separated by ` … `, in any order."""
    return "(?s)" + "".join(f"(?=.*{re.escape(fact)})" for fact in text.split(SEPARATOR))


def lacking(message: str, text: str) -> list[str]:
    """Return the facts of `text` that a message lacks."""
    return [fact for fact in text.split(SEPARATOR) if fact not in message]
