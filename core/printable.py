"""Text from outside (titles, ids, names, file contents) made safe to print: no terminal escapes, no Rich markup."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

# C0 and C1 controls and DEL; marks, embeddings, overrides and isolates of text direction; line and paragraph
# separators; lone surrogates, which no terminal's encoding takes.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_MOST_SHOWN = 1500  # characters of a line of a message


def printable(value: object) -> str:
    r"""Return `value` as text with each control or direction character written out, such as `\x1b` or `\u202e`."""
    return _UNSAFE.sub(_written_out, str(value))


def as_text(value: object, style: str = "") -> "Text":
    """Return `value` for a Rich table or console: printable, and never read as markup."""
    from rich.text import Text

    return Text(printable(value), style=style)


def one_line(value: object, most: int = 80) -> str:
    """Return `value` printable and at most `most` characters long, for an error message."""
    text = printable(" ".join(str(value)[: 4 * most].split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown(line: str) -> str:
    """Return a line of a message printable, without the middle of a very long one."""
    text = printable(line)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 300]} … {text[-250:]}"


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
