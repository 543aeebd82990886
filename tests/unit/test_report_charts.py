"""Numbers, axes and dots in the charts of the report."""

from xml.etree import ElementTree

import pytest

from pipeline.report import charts, markup


@pytest.mark.parametrize(
    ("value", "places", "signed", "text"),
    [
        (0.16663, 4, False, "0.1666"),
        (-0.5, 2, True, "−0.50"),
        (0.5, 2, True, "+0.50"),
        (-0.00001, 4, True, "0.0000"),
        (12345.6, 1, False, "12,345.6"),
        (None, 4, False, "–"),
    ],
)
def test_numbers(value, places, signed, text):
    assert markup.number(value, places, signed) == text


def test_decimals_keep_about_four_digits():
    assert [markup.decimals([value]) for value in (0.1, 1.0, 9.4, 83.0, 405.3, 40_530)] == [4, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.61), (-0.02, 0.1), (4.2, 4.6), (3.0, 3.0), (0.0, 0.0), (-5e-9, 2e-9)]
)
def test_axes_hold_their_values(low, high):
    ticks = charts._ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12


def test_chart_places_dots_by_value():
    drawing = charts.intervals(
        "t", [("", [charts.Dot("a", 0.25, 0.2, 0.3), charts.Dot("b", 0.5), charts.Dot("c", None)])]
    )
    xs = [
        float(circle.get("cx")) for circle in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert len(xs) == 2  # an estimate that was not measured has no dot
    assert xs[0] < xs[1]
