"""Frozen schemas: the parts of an inferred schema that later deliveries are validated against."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.config.table_spec import table_spec
from transform.features import raw_columns

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

# The largest ratio of distinct values to rows with a value in a categorical column; with a larger one it holds ids.
_MOST_DISTINCT = 0.5


def relaxed(
    schema: "schema_pb2.Schema",
    statistics: "statistics_pb2.DatasetFeatureStatistics",
    config: Config,
    table: str,
    tolerance: float,
) -> "schema_pb2.Schema":
    """Return the schema that later deliveries of a table should follow.

    SchemaGen lists the values of every column of strings with few values as its domain. In a small table each new item
    or title would then be an anomaly. So only categorical and multi-valued features keep a domain, and only if they
    have few distinct values for the number of rows. Ranges of numbers are removed.

    Args:
      schema: the schema that SchemaGen inferred.
      statistics: the statistics of the rows from which the schema was inferred.
      config: the configuration of the recommender.
      table: the name of the table.
      tolerance: the largest share of values outside a domain, and of rows without a value, that is not an anomaly.
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
    """Return column → the number of values in its domain, for the columns that have one in the schema."""
    sizes = {domain.name: len(domain.value) for domain in schema.string_domain}
    return {feature.name: sizes[feature.domain] for feature in schema.feature if feature.domain in sizes}


def _like_ids(statistics: "statistics_pb2.DatasetFeatureStatistics") -> set[str]:
    """Return the columns of strings with more than `_MOST_DISTINCT` distinct values per row with a value."""
    return {
        feature.path.step[0]
        for feature in statistics.features
        if feature.string_stats.unique > _MOST_DISTINCT * feature.string_stats.common_stats.num_non_missing
    }
