"""The drift between two deliveries, on small statistics that the tests construct."""

import itertools
import math

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.drift_detector import drift
from components.drift_detector.settings import Drift
from pipeline.config import Config
from pipeline.config.table_spec import compared_columns

REGIONS = {"north": 40, "south": 35, "east": 25}
EDGES = np.linspace(1, 101, 11)


def table(rows=100, prices=1.0, regions=REGIONS, without_price=0, price=True):
    """Return statistics of items: prices from 1 to 101, multiplied by `prices`, and the count of each region."""
    statistics = statistics_pb2.DatasetFeatureStatistics(num_examples=rows)
    if price:
        number = statistics.features.add()
        number.path.step.append("price")
        number.type = number.FLOAT
        number.num_stats.common_stats.num_non_missing = rows - without_price
        number.num_stats.median = 51 * prices
        histogram = number.num_stats.histograms.add(type="STANDARD")
        for low, high in itertools.pairwise(EDGES):
            histogram.buckets.add(low_value=low * prices, high_value=high * prices, sample_count=rows / 10)
    text = statistics.features.add()
    text.path.step.append("region")
    text.type = text.STRING
    text.string_stats.common_stats.num_non_missing = rows
    for label, count in regions.items():
        text.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    return statistics


def compare(before, now, bounds=None, **columns):
    columns = columns or {"price": "values", "region": "values"}
    return drift.compare("items", before, now, columns, bounds or Drift())


def beyond(*arguments, **columns):
    return {(each.column, each.measure): each for each in compare(*arguments, **columns) if each.beyond}


def test_nothing_changed_is_no_drift():
    findings = compare(table(), table())
    assert [(each.column, each.measure) for each in findings if each.beyond] == []
    assert {(each.column, each.measure) for each in findings} == {
        (None, "rows"),
        ("price", "missing share"),
        ("price", "distance"),
        ("price", "median"),
        ("region", "missing share"),
        ("region", "distance"),
    }
    assert all(each.change in (0, 1) for each in findings)


@pytest.mark.parametrize(("factor", "ratio"), [(1000, 1000), (0.001, 0.001)])
def test_prices_that_rose_or_fell_1000_fold_are_found_by_median_and_by_distance(factor, ratio):
    found = beyond(table(), table(prices=factor))
    assert set(found) == {("price", "median"), ("price", "distance")}
    median = found["price", "median"]
    assert (median.before, median.now, median.change) == (51, 51 * factor, pytest.approx(ratio))
    assert median.bound == pytest.approx(3 if factor > 1 else 1 / 3)
    assert found["price", "distance"].change > 0.9


def test_one_region_left_is_found_with_the_value_that_changed_most():
    [(key, found)] = beyond(table(), table(regions={"south": 100})).items()
    assert key == ("region", "distance")
    assert (found.value, found.before, found.now) == ("south", 0.35, 1)
    assert found.change == pytest.approx(0.65)
    assert "0.65, bound 0.3 (share of 'south' 0.35 before, 1 now)" in found.sentence()


def test_97_percent_of_the_rows_gone_is_found_by_their_number_alone():
    few = table(rows=3, regions={region: count * 0.03 for region, count in REGIONS.items()})
    [(key, found)] = beyond(table(), few).items()
    assert key == (None, "rows")
    assert (found.before, found.now, found.change, found.bound) == (100, 3, 0.03, 0.5)


def test_values_that_are_missing_are_found_up_to_the_whole_column():
    assert set(beyond(table(), table(without_price=20))) == {("price", "missing share")}
    found = beyond(table(), table(price=False))["price", "missing share"]
    assert (found.before, found.now, found.change) == (0, 1, 1)
    assert compare(table(price=False), table(), price="values")[0].column is None  # a new column has no drift


def test_of_keys_and_text_only_the_missing_share_is_compared():
    changed = table(regions={"west": 100}, prices=1000)
    assert beyond(table(), changed, price="missing", region="missing") == {}


def test_a_table_that_was_or_is_empty_is_no_error():
    assert compare(table(rows=0), table()) == []
    [found] = compare(table(), table(rows=0))
    assert (found.measure, found.beyond, found.excess) == ("rows", True, math.inf)


def test_a_bound_of_zero_or_one_holds_as_it_says():
    still = Drift(max_distance=0, max_missing_change=0, min_row_ratio=1, max_row_ratio=1, max_median_ratio=1)
    assert [each for each in compare(table(), table(), still) if each.beyond] == []
    moved = {each.measure for each in compare(table(), table(rows=101, prices=1.1), still) if each.beyond}
    assert {"rows", "median", "distance"} <= moved


def test_the_largest_drift_against_its_bound_comes_first():
    findings = compare(table(), table(rows=40, prices=1000))
    assert findings[0].measure == "median"
    assert [each.excess for each in findings] == sorted((each.excess for each in findings), reverse=True)


def test_the_divergence_of_histograms_with_points_and_gaps():
    point, other = np.array([[5.0, 5.0, 9]]), np.array([[6.0, 6.0, 3]])
    assert drift.jensen_shannon(point, point) == 0
    assert drift.jensen_shannon(point, other) == 1
    assert drift.jensen_shannon(point, np.zeros((0, 3))) is None
    wide, half = np.array([[0.0, 2.0, 8]]), np.array([[0.0, 1.0, 8]])
    expected = (math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    assert drift.jensen_shannon(half, wide) == pytest.approx(expected)


def test_a_long_value_is_shortened():
    found = beyond(table(), table(regions={"x" * 999: 100}))["region", "distance"]
    assert len(found.value) == 40


def test_values_are_compared_of_features_and_ratings_alone():
    config = Config.model_validate(
        {
            "name": "shop",
            "data": {
                "root": ".",
                "title": "title",
                "interactions": {"path": "events.csv", "rating_range": [1, 5]},
                "impressions": {"path": "impressions.csv"},
            },
            "features": {
                "user": {"age": "numeric"},
                "item": {"price": "numeric", "brand": "categorical", "about": "text", "released": "timestamp"},
            },
        }
    )
    compared = compared_columns(config)
    of_values = {table: {name for name, what in each.items() if what == "values"} for table, each in compared.items()}
    assert of_values == {
        "interactions": {"rating"},
        "users": {"age"},
        "items": {"price", "brand"},
        "impressions": set(),
    }
    assert {"item_id", "title", "about", "released"} <= set(compared["items"])
    assert "timestamp" in compared["interactions"]
