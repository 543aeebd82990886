"""The printing of untrusted text: markup, escape sequences and direction marks do not reach the terminal."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from core.printable import as_text, one_line, printable

TITLE = "[bold]x\x1b[2J"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TITLE, "[bold]x\\x1b[2J"),
        ("a\nb\tc\r\0", "a\\x0ab\\x09c\\x0d\\x00"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("\u202eevil\u2066\u200f\u061c", "\\u202eevil\\u2066\\u200f\\u061c"),
        ("line\u2028end\ud800", "line\\u2028end\\ud800"),
        ("Amélie – 天国 🎬", "Amélie – 天国 🎬"),
        (12, "12"),
    ],
)
def test_control_and_direction_characters_are_written_out(value, text):
    assert printable(value) == text
    assert printable(text) == text


def test_a_title_in_a_rich_table_is_text():
    out = io.StringIO()
    table = Table()
    table.add_column(as_text("[red]name"))
    table.add_row(as_text(TITLE))
    Console(file=out, width=60, force_terminal=True, color_system="truecolor").print(table)
    shown = out.getvalue()
    assert "[bold]x\\x1b[2J" in shown
    assert "[red]name" in shown
    assert "\x1b[2J" not in shown


def test_an_error_shows_a_part_of_a_long_value_on_one_line():
    shown = one_line("a\n b\x1b" + "c" * 1000, 20)
    assert shown == "a b\\x1b" + "c" * 12 + "…"
    assert one_line("short") == "short"
