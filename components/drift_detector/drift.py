"""The comparison of the statistics of two deliveries of a table. Pure functions of statistics protos.

The distances are those of TensorFlow Data Validation (TFDV), computed here from the same histograms. TFDV itself is not
used, because it measures only columns whose schema has comparators, and its import takes seconds. A test checks that
both give the same distances.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from components.drift_detector.settings import Drift

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

ROWS, MISSING, DISTANCE, MEDIAN = "rows", "missing share", "distance", "median"
_MOST_SHOWN = 40  # the maximum number of characters of a value in a message


@dataclass(frozen=True)
class Finding:
    """One measure of the drift of a column, or of a whole table.

    Args:
      table: the name of the table.
      column: the name of the column; None for a measure of the whole table.
      measure: `rows`, `missing share`, `distance` or `median`.
      before, now: the measured value in the earlier and in the present delivery: the number of rows, the share of
        missing values or the median; for the distance of strings, the share of `value`.
      change: the number that is compared with the bounds: the ratio of rows or medians, the change of the share of
        missing values, or the distance.
      low, high: the lowest and highest accepted change; None for no bound.
      value: for the distance of strings, the string whose share changed most, shortened; else None.
    """

    table: str
    column: str | None
    measure: str
    before: float | None
    now: float | None
    change: float
    low: float | None
    high: float | None
    value: str | None = None

    @property
    def excess(self) -> float:
        """Return the change as a multiple of its bound; above 1, the bound is exceeded."""
        above = 0.0 if self.high is None else _ratio(self.change, self.high)
        below = 0.0 if self.low is None else _ratio(self.low, self.change)
        return max(above, below)

    @property
    def beyond(self) -> bool:
        """Return whether the change is beyond a bound."""
        return self.excess > 1

    @property
    def bound(self) -> float | None:
        """Return the bound that applies: `low` for a ratio below 1, else `high`; the other one if that is None."""
        below = self.low is not None and (self.high is None or self.change < 1)
        return self.low if below else self.high

    def sentence(self) -> str:
        """Return the finding in words: measure, before, now, and the change against its bound."""
        between = f"{_short(self.before)} before, {_short(self.now)} now"
        limit = f"{_short(self.change)}, bound {_short(self.bound)}"
        if self.measure == DISTANCE:
            shown = "median" if self.value is None else f"share of {self.value!r}"
            return f"distance {limit} ({shown} {between})"
        return f"{self.measure} {between}; {'change' if self.measure == MISSING else 'ratio'} {limit}"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as values of JSON."""
        return vars(self) | {"beyond": self.beyond, "bound": self.bound}


def compare(
    table: str,
    before: "statistics_pb2.DatasetFeatureStatistics",
    now: "statistics_pb2.DatasetFeatureStatistics",
    columns: Mapping[str, Literal["values", "missing"]],
    bounds: Drift,
) -> list[Finding]:
    """Return the findings of a table, sorted by `Finding.excess`, largest first.

    Args:
      table: the name of the table.
      before, now: its statistics in the two deliveries; if it had no rows before, nothing is measured.
      columns: column → `values`, to compare the values and the share of missing ones, or `missing`, to compare only
        that share. A column that `before` lacks is new and is left out; in one that `now` lacks all values are missing.
      bounds: the bounds.
    """
    rows = before.num_examples, now.num_examples
    if not rows[0]:
        return []
    ratio = rows[1] / rows[0]
    findings = [Finding(table, None, ROWS, *rows, ratio, bounds.min_row_ratio, bounds.max_row_ratio)]
    earlier, later = _by_name(before), _by_name(now)
    for column, compared in columns.items():
        if column not in earlier or not rows[1]:
            continue
        old, new = earlier[column], later.get(column)
        shares = _missing(old, rows[0]), 1.0 if new is None else _missing(new, rows[1])
        change = abs(shares[1] - shares[0])
        findings.append(Finding(table, column, MISSING, *shares, change, None, bounds.max_missing_change))
        if compared == "values" and new is not None:
            findings += _values(table, column, old, new, bounds)
    return sorted(findings, key=lambda finding: -finding.excess)


def _values(table: str, column: str, old: Any, new: Any, bounds: Drift) -> list[Finding]:
    """Return the findings on the values of one column; none if its type has changed or it has no values."""
    if not old.WhichOneof("stats") == new.WhichOneof("stats") in ("num_stats", "string_stats"):
        return []
    if new.HasField("string_stats"):
        counts = _counts(old), _counts(new)
        if not counts[0] or not counts[1]:
            return []
        value, before, now = l_infinity(*counts)
        change = abs(now - before)
        return [Finding(table, column, DISTANCE, before, now, change, None, bounds.max_distance, _shortened(value))]
    found = []
    medians = old.num_stats.median, new.num_stats.median
    distance = jensen_shannon(_histogram(old), _histogram(new))
    if distance is not None:
        found.append(Finding(table, column, DISTANCE, *medians, distance, None, bounds.max_distance))
    if medians[0] * medians[1] > 0:
        ratio = medians[1] / medians[0]
        bound = bounds.max_median_ratio
        found.append(Finding(table, column, MEDIAN, *medians, ratio, 1 / bound, bound))
    return found


def l_infinity(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[str, float, float]:
    """Return the value whose share changed most, with its shares before and now, whose difference is the L∞ distance.

    Args:
      before, now: value → its count; neither is empty.
    """
    totals = sum(before.values()), sum(now.values())
    shares = {
        value: (before.get(value, 0) / totals[0], now.get(value, 0) / totals[1]) for value in sorted({*before, *now})
    }
    value = max(shares, key=lambda each: abs(shares[each][1] - shares[each][0]))
    return value, *shares[value]


def jensen_shannon(before: np.ndarray, now: np.ndarray) -> float | None:
    """Return the Jensen-Shannon divergence in bits of two histograms, from 0 to 1; None where one is empty.

    Args:
      before, now: [B, 3] lowest value, highest value and count of each bucket. Values are assumed to be spread evenly
        over a bucket; a bucket of width 0 is a single point.
    """
    if not before[:, 2].sum() or not now[:, 2].sum():
        return None
    edges = np.unique(np.concatenate([before[:, :2].ravel(), now[:, :2].ravel()]))
    p, q = _masses(before, edges), _masses(now, edges)
    middle = (p + q) / 2
    return float((_divergence(p, middle) + _divergence(q, middle)) / 2)


def _masses(histogram: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return [2 E - 1] the share of a histogram's values at each edge, then between each two neighbouring edges."""
    low, high, count = histogram.T
    first, last = np.searchsorted(edges, low), np.searchsorted(edges, high)
    points = np.zeros(len(edges))
    np.add.at(points, first[low == high], count[low == high])
    between = np.zeros(len(edges) - 1)
    widths = np.diff(edges)
    for bucket in np.flatnonzero(high > low):
        inside = slice(first[bucket], last[bucket])
        between[inside] += count[bucket] * widths[inside] / (high[bucket] - low[bucket])
    return np.concatenate([points, between]) / count.sum()


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Kullback-Leibler divergence of p from q in bits; q must be positive wherever p is."""
    there = p > 0
    return float(np.sum(p[there] * np.log2(p[there] / q[there])))


def _by_name(statistics: Any) -> dict[str, Any]:
    return {feature.name or ".".join(feature.path.step): feature for feature in statistics.features}


def _missing(feature: Any, rows: int) -> float:
    common = feature.num_stats if feature.HasField("num_stats") else feature.string_stats
    return 1 - common.common_stats.num_non_missing / rows


def _counts(feature: Any) -> dict[str, float]:
    return {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets}


def _histogram(feature: Any) -> np.ndarray:
    """Return the histogram with buckets of equal width, [B, 3] low, high and count."""
    standard = next((each for each in feature.num_stats.histograms if each.type == each.STANDARD), None)
    buckets = [] if standard is None else standard.buckets
    rows = [(bucket.low_value, bucket.high_value, bucket.sample_count) for bucket in buckets]
    return np.array(rows, np.float64).reshape(-1, 3)


def _ratio(part: float, whole: float) -> float:
    """Return part / whole; 1 for 0 / 0, infinity for other divisions by 0."""
    if whole:
        return part / whole
    return float("inf") if part else 1.0


def _shortened(value: str) -> str:
    return value if len(value) <= _MOST_SHOWN else value[: _MOST_SHOWN - 3] + "..."


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
