"""The distances that the drift detector computes, compared with the distances of TensorFlow Data Validation."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import pytest

from components.drift_detector import drift
from components.drift_detector.settings import Drift


def statistics(columns):
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    lists = {
        name: [None if value is None else [value] for value in np.asarray(values).tolist()]
        for name, values in columns.items()
    }
    return stats_impl.generate_statistics_in_memory(pa.RecordBatch.from_pydict(lists), tfdv.StatsOptions())


def measured_by_tfdv(before, now, column, measure):
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(before)
    getattr(tfdv.get_feature(schema, column).drift_comparator, measure).threshold = 1e-9
    anomalies = tfdv.validate_statistics(now, schema, previous_statistics=before)
    [info] = anomalies.drift_skew_info
    [measurement] = info.drift_measurements
    return measurement.value


def distance_of(before, now, column):
    findings = drift.compare("items", before.datasets[0], now.datasets[0], {column: "values"}, Drift())
    [found] = [each.change for each in findings if each.measure == drift.DISTANCE]
    return found


RNG = np.random.default_rng(0)
NUMBERS = {
    "shifted": (RNG.normal(10, 2, 900), RNG.normal(12, 2, 700)),
    "scaled": (RNG.uniform(1, 9, 900), RNG.uniform(1000, 9000, 900)),
    "heavy tail": (RNG.pareto(2, 900), RNG.pareto(2, 1500)),
    "ratings": (RNG.choice([1.0, 2, 3, 4, 5], 900), RNG.choice([1.0, 2, 3, 4, 5], 900, p=[0.5, 0.2, 0.1, 0.1, 0.1])),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_have_the_divergence_that_tfdv_measures(case):
    before, now = (statistics({"price": values}) for values in NUMBERS[case])
    expected = measured_by_tfdv(before, now, "price", "jensen_shannon_divergence")
    assert distance_of(before, now, "price") == pytest.approx(expected, abs=1e-6)


def test_strings_have_the_distance_that_tfdv_measures():
    before = statistics({"region": RNG.choice(["north", "south", "east"], 900)})
    now = statistics({"region": RNG.choice(["north", "west"], 700, p=[0.9, 0.1])})
    expected = measured_by_tfdv(before, now, "region", "infinity_norm")
    assert distance_of(before, now, "region") == pytest.approx(expected, abs=1e-9)
    assert expected > 0.4
