"""The check of the anomalies of a table, which stop a run."""

from tensorflow_metadata.proto.v0 import anomalies_pb2

from core import names
from core.errors import DataError
from core.storage import shard_files, uris


def read_anomalies(uri: str) -> anomalies_pb2.Anomalies:
    """Return the anomalies that ExampleValidator found in a table."""
    with shard_files.reading(uris.joined(uri, f"Split-{names.ALL}", "SchemaDiff.pb")) as file:
        return anomalies_pb2.Anomalies.FromString(file.read_bytes())


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
