"""What the statistics of a table say of its columns, as the report shows it."""

from pathlib import Path
from typing import Any

from core import names

_MOST_VALUES, _MOST_CHARACTERS = 3, 40
_TYPES = {"num_stats": "numbers", "string_stats": "strings", "bytes_stats": "bytes", "struct_stats": "structure"}


def columns(folder: Path) -> list[dict[str, Any]]:
    """Return a mapping for each column; none where there are no statistics.

    Args:
      folder: of the artifact of StatisticsGen.
    Returns:
      name; type; missing, the share of rows without a value; distinct, how many values (None of numbers, of which TFDV
      counts none); low, median and high of numbers; top, the most frequent strings that occur more than once, each with
      its share.
    """
    file = folder / f"Split-{names.ALL}" / names.STATISTICS_FILE
    if not file.is_file():
        return []
    from tensorflow_metadata.proto.v0 import statistics_pb2

    table = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()).datasets[0]
    return [_column(feature, table.num_examples) for feature in table.features]


def _column(feature: Any, rows: int) -> dict[str, Any]:
    kind = feature.WhichOneof("stats")
    common = getattr(feature, kind) if kind else None
    column: dict[str, Any] = {
        "name": feature.name or ".".join(feature.path.step),
        "type": _TYPES.get(kind, "unknown"),
        "missing": 1 - common.common_stats.num_non_missing / rows if common is not None and rows else 0.0,
        "distinct": None,
        "top": [],
    }
    if kind == "num_stats":
        column |= {"low": common.min, "median": common.median, "high": common.max}
    if kind == "string_stats":
        buckets = common.rank_histogram.buckets
        total = common.common_stats.tot_num_values or 1
        top = [(_shortened(each.label), each.sample_count / total) for each in buckets if each.sample_count > 1]
        column |= {"distinct": common.unique, "top": top[:_MOST_VALUES]}
    return column


def _shortened(value: str) -> str:
    return value if len(value) <= _MOST_CHARACTERS else value[: _MOST_CHARACTERS - 3] + "..."
