"""The facts of a message, which tests pin instead of its wording: keys, files, rows, columns, values and numbers."""

import re

SEPARATOR = " … "


def facts(text: str) -> str:
    """Return a pattern that matches a message with all facts of `text`, in any order; ` … ` separates facts."""
    return "(?s)" + "".join(f"(?=.*{re.escape(fact)})" for fact in text.split(SEPARATOR))


def lacking(message: str, text: str) -> list[str]:
    """Return the facts of `text`, separated by ` … `, that a message does not contain."""
    return [fact for fact in text.split(SEPARATOR) if fact not in message]
