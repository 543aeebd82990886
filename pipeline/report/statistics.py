"""Statistics of the columns of a table for the report."""

from pathlib import Path
from typing import Any

from core import names

_MAX_VALUES, _MAX_CHARACTERS = 3, 40
_TYPES = {"num_stats": "numbers", "string_stats": "strings"}


def columns(folder: Path) -> list[dict[str, Any]]:
    """Return the statistics of each column; empty without statistics.

    Args:
      folder: the output of StatisticsGen.
    Returns:
      name; type; missing, the share of rows without a value; distinct, the number of distinct values (None for numbers,
      for which TFDV does not count them); low, median and high (None for strings); top, the most frequent strings that
      occur more than once, each with its share.
    """
    file = folder / f"Split-{names.ALL}" / names.STATISTICS_FILE
    if not file.is_file():
        return []
    from tensorflow_metadata.proto.v0 import statistics_pb2

    table = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets[0]
    return [_column(feature, table.num_examples) for feature in table.features]


def _column(feature: Any, rows: int) -> dict[str, Any]:
    """Return the statistics of a column."""
    kind = feature.WhichOneof("stats")
    column: dict[str, Any] = {"name": feature.name or ".".join(feature.path.step), "type": _TYPES.get(kind, "unknown")}
    if kind == "num_stats":
        stats = feature.num_stats
        column |= {"distinct": None, "low": stats.min, "median": stats.median, "high": stats.max, "top": []}
    else:
        stats = feature.string_stats  # empty for other types, which tables do not have
        values = stats.common_stats.tot_num_values or 1
        buckets = [each for each in stats.rank_histogram.buckets if each.sample_count > 1][:_MAX_VALUES]
        top = [(_shortened(each.label), each.sample_count / values) for each in buckets]
        column |= {"distinct": stats.unique, "low": None, "median": None, "high": None, "top": top}
    return column | {"missing": 1 - stats.common_stats.num_non_missing / max(rows, 1)}


def _shortened(value: str) -> str:
    """Return a value cut to a maximum length."""
    return value if len(value) <= _MAX_CHARACTERS else value[: _MAX_CHARACTERS - 3] + "..."
