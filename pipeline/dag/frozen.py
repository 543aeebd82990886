"""Frozen schemas: the parts of an inferred schema that later deliveries are validated against."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.config.table_spec import table_spec
from transform.features import raw_columns

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

# The largest share of unique values of a category; a column with a larger share is an id.
_MOST_DISTINCT = 0.5


def relaxed(
    schema: "schema_pb2.Schema",
    statistics: "statistics_pb2.DatasetFeatureStatistics",
    config: Config,
    table: str,
    tolerance: float,
) -> "schema_pb2.Schema":
    """Return the schema that later deliveries of a table should follow.

    SchemaGen lists the values of every short column of strings, so that of a small table each new item or title would
    be an anomaly. Only categorical and multi-valued features keep such a domain, and not if they are like ids; ranges
    of numbers are left out.

    Args:
      schema: as SchemaGen inferred it.
      statistics: of the rows that it was inferred from.
      config: the recommender's.
      table: its name.
      tolerance: the share of values outside a domain, and of rows without a value of a feature, that is no anomaly.
    """
    spec = table_spec(config, table)
    columns = raw_columns(spec.features)
    several = {name for name, raw in columns.items() if raw.shape}
    categories = {name for name, raw in columns.items() if raw.categorical} - _like_ids(statistics)
    out = type(schema)()
    out.CopyFrom(schema)
    domains = set()
    for feature in out.feature:
        kept = feature.name in categories and feature.WhichOneof("domain_info") in ("domain", "string_domain")
        if not kept and feature.WhichOneof("domain_info"):
            feature.ClearField(feature.WhichOneof("domain_info"))
        elif kept:
            domains.add(feature.domain)
            feature.distribution_constraints.min_domain_mass = 1 - tolerance
        if feature.name in several:
            feature.value_count.ClearField("max")
        if feature.name not in spec.keys and feature.presence.min_fraction:
            feature.presence.min_fraction = min(feature.presence.min_fraction, 1 - tolerance)
    used = [domain for domain in out.string_domain if domain.name in domains]
    del out.string_domain[:]
    out.string_domain.extend(used)
    return out


def domain_sizes(schema: "schema_pb2.Schema") -> Mapping[str, int]:
    """Return the columns whose values a schema lists, and how many values each has."""
    sizes = {domain.name: len(domain.value) for domain in schema.string_domain}
    return {feature.name: sizes[feature.domain] for feature in schema.feature if feature.domain in sizes}


def _like_ids(statistics: "statistics_pb2.DatasetFeatureStatistics") -> set[str]:
    """Return the columns of strings in which most values are unique."""
    return {
        feature.path.step[0]
        for feature in statistics.features
        if feature.string_stats.unique > _MOST_DISTINCT * feature.string_stats.common_stats.num_non_missing
    }
