"""Strings of users as text for a terminal."""

import unicodedata


def printable(text: str) -> str:
    """Return `text` with control and format characters, such as those of escape sequences, replaced by `�`."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) in ("Cc", "Cf") else each for each in text)
