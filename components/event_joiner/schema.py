"""The schema of the joined events, from the schemas of the three tables, and the gate before the join."""

from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from core import names
from core.errors import DataError


def joined_schema(tables: dict[str, schema_pb2.Schema], without: str | None = None) -> schema_pb2.Schema:
    """Return the features of all tables, plus `history`, which the transform graph takes when serving.

    None is required: a catalogue item has no user, and no event is written with its history.

    Args:
      tables: the schema of interactions, items and, where there is such a table, users.
      without: a column that the join takes away.
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
    """What ExampleValidator found in a table."""
    return anomalies_pb2.Anomalies.FromString((Path(uri) / f"Split-{names.ALL}" / "SchemaDiff.pb").read_bytes())


def refuse_anomalies(table: str, anomalies: anomalies_pb2.Anomalies) -> None:
    """Raises: DataError when ExampleValidator found that the table breaks its schema."""
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
            f"Mend the data, or change the frozen schema `{table}.pbtxt` in data.schema_folder if the data is right.",
        )


def _add(schema: schema_pb2.Schema, name: str, kind: "schema_pb2.FeatureType.ValueType") -> None:
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_count = 0
