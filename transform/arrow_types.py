"""The Arrow types of the features' raw columns. No TensorFlow here."""

from collections.abc import Mapping

import pyarrow as pa

from core.arrow import event_types
from transform.features import Feature, Raw, raw_columns


def arrow_type(raw: Raw) -> pa.DataType:
    """The type of a raw column."""
    value = pa.float32() if raw.numbers else pa.string()
    return value if raw.values is None else pa.list_(value)


def feature_types(features: Mapping[str, Feature]) -> dict[str, pa.DataType]:
    """Column → type, of the features' raw columns."""
    return {name: arrow_type(raw) for name, raw in raw_columns(features).items()}


def user_types(user_features: Mapping[str, Feature]) -> dict[str, pa.DataType]:
    """What a query needs of an event: who, what, when, and the user's features."""
    return event_types(has_rating=False) | feature_types(user_features)
