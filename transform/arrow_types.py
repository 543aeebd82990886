"""The Arrow types of the features' raw columns. No TensorFlow here."""

from collections.abc import Mapping

import pyarrow as pa

from core.arrow import event_types
from transform.features import Feature, raw_columns


def feature_types(features: Mapping[str, Feature]) -> dict[str, pa.DataType]:
    """Return column → type of the features' raw columns."""
    return {name: raw.arrow_type() for name, raw in raw_columns(features).items()}


def user_types(user_features: Mapping[str, Feature]) -> dict[str, pa.DataType]:
    """Return column → type, for the columns of events from which queries are built, users' features among them."""
    return event_types(has_rating=False) | feature_types(user_features)
