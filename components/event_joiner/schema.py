"""The schema of the joined events, from the schemas of the tables; and the check of anomalies before the join."""

from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from core import names
from core.errors import DataError


def joined_schema(tables: dict[str, schema_pb2.Schema], without: str | None = None) -> schema_pb2.Schema:
    """Return a schema of the features of all tables and of `history`, an input of the transform graph in serving.

    No feature is required: catalogue items have no user features, and events are written without a history.

    Args:
      tables: the schemas of interactions, items and, if there is such a table, users.
      without: the name of a column that the join removes; None if it removes none.
    """
    schema = schema_pb2.Schema()
    seen = {without}
    for table in filter(tables.__contains__, names.TABLES):
        for feature in tables[table].feature:
            if feature.name not in seen:
                seen.add(feature.name)
                _add(schema, feature.name, feature.type)
    _add(schema, names.HISTORY, schema_pb2.FeatureType.BYTES)
    return schema


def read_anomalies(uri: str) -> anomalies_pb2.Anomalies:
    """Return the anomalies that ExampleValidator found in a table."""
    return anomalies_pb2.Anomalies.FromString((Path(uri) / f"Split-{names.ALL}" / "SchemaDiff.pb").read_bytes())


def refuse_anomalies(table: str, anomalies: anomalies_pb2.Anomalies) -> None:
    """Raise DataError if ExampleValidator found anomalies in a table."""
    found = [
        f"{name or 'the table'}: {info.short_description.lower()} ({info.description})"
        for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        found.append(anomalies.dataset_anomaly_info.description)
    if found:
        raise DataError(
            table,
            "schema",
            "; ".join(found),
            f"Correct the data; or, if it is right, change the frozen schema `{table}.pbtxt` in data.schema_folder.",
        )


def _add(schema: schema_pb2.Schema, name: str, kind: "schema_pb2.FeatureType.ValueType") -> None:
    """Add an optional feature."""
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_count = 0
