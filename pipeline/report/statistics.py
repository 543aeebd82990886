"""What the statistics of a table say of its columns, as the report shows it."""

from pathlib import Path
from typing import Any

from core import names

_MOST_VALUES, _MOST_CHARACTERS = 3, 40
_TYPES = {"num_stats": "numbers", "string_stats": "strings"}


def columns(folder: Path) -> list[dict[str, Any]]:
    """Return a mapping for each column; none where there are no statistics.

    Args:
      folder: of the artifact of StatisticsGen.
    Returns:
      name; type; missing, the share of rows without a value; distinct, the number of values (None of numbers, whose
      distinct values TFDV does not count); low, median and high (None of strings); top, the most frequent strings that
      occur more than once, each with its share.
    """
    file = folder / f"Split-{names.ALL}" / names.STATISTICS_FILE
    if not file.is_file():
        return []
    from tensorflow_metadata.proto.v0 import statistics_pb2

    table = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets[0]
    return [_column(feature, table.num_examples) for feature in table.features]


def _column(feature: Any, rows: int) -> dict[str, Any]:
    kind = feature.WhichOneof("stats")
    column: dict[str, Any] = {"name": feature.name or ".".join(feature.path.step), "type": _TYPES.get(kind, "unknown")}
    if kind == "num_stats":
        found = feature.num_stats
        column |= {"distinct": None, "low": found.min, "median": found.median, "high": found.max, "top": []}
    else:
        found = feature.string_stats  # empty for other kinds, of which the tables have none
        values = found.common_stats.tot_num_values or 1
        buckets = [each for each in found.rank_histogram.buckets if each.sample_count > 1][:_MOST_VALUES]
        top = [(_shortened(each.label), each.sample_count / values) for each in buckets]
        column |= {"distinct": found.unique, "low": None, "median": None, "high": None, "top": top}
    return column | {"missing": 1 - found.common_stats.num_non_missing / max(rows, 1)}


def _shortened(value: str) -> str:
    return value if len(value) <= _MOST_CHARACTERS else value[: _MOST_CHARACTERS - 3] + "..."
