"""Text from outside (titles, ids, names, file contents) made safe to print: no terminal escapes and no Rich markup."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

# C0 and C1 controls and DEL; marks, embeddings, overrides and isolates of text direction; line and paragraph
# separators; lone surrogates, which terminals cannot encode.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_MAX_CHARACTERS = 1500  # the maximum length of a line of a message


def printable(value: object) -> str:
    r"""Return `value` as text with each control or direction character written out, such as `\x1b` or `\u202e`."""
    return _UNSAFE.sub(_escaped, str(value))


def as_text(value: object, style: str = "") -> "Text":
    """Return `value` for a Rich table or console, printable and without markup."""
    from rich.text import Text

    return Text(printable(value), style=style)


def one_line(value: object, max_length: int = 80) -> str:
    """Return `value` on one printable line of at most `max_length` characters, for an error message."""
    text = printable(" ".join(str(value)[: 4 * max_length].split()))
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def shown(line: str) -> str:
    """Return a line of a message, printable; the middle of a very long one is left out."""
    text = printable(line)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 300]} … {text[-250:]}"


def _escaped(match: re.Match[str]) -> str:
    """Return the escape sequence of the matched character."""
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def as_error(message: str) -> str:
    """Return the message of an error as the command line prints it: each line without control characters."""
    first, *rest = map(shown, message.split("\n"))
    return "\n".join([f"twostep: {first}", *rest])
