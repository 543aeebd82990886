"""The specification of a table, from the configuration. No TensorFlow and no TFX here."""

from typing import Literal

from components.table_example_gen.spec import TableSpec
from core import names
from pipeline.config import Config
from transform.features import raw_columns


def table_spec(config: Config, table: str) -> TableSpec:
    """Return the specification of a table."""
    source = getattr(config.data, table)
    features = {names.USERS: config.features.user, names.ITEMS: config.features.item}.get(table, {})
    extra = {names.ITEMS: [config.data.title, config.data.owner], names.INTERACTIONS: [config.split.column]}
    return TableSpec(
        table=table,
        columns=source.columns,
        separator=source.separator,
        on_invalid=source.on_invalid,
        on_duplicate=source.on_duplicate,
        max_dropped=source.max_dropped,
        rating_range=config.data.interactions.rating_range if table == names.INTERACTIONS else None,
        features={name: feature.model_dump() for name, feature in features.items()},
        extra=tuple(dict.fromkeys(column for column in extra.get(table, []) if column)),
    )


def compared_columns(config: Config) -> dict[str, dict[str, Literal["values", "missing"]]]:
    """Return table → column → the property that is compared between deliveries.

    The values of keys, timestamps, text and columns without a feature differ in every delivery, so only their share of
    missing values is compared.
    """
    compared: dict[str, dict[str, Literal["values", "missing"]]] = {}
    for table in config.data.tables:
        spec = table_spec(config, table)
        raw = raw_columns(spec.features)
        of_values = {name for name, each in raw.items() if each.comparable} | {names.RATING}
        compared[table] = {
            column: "values" if column in of_values and column not in spec.keys else "missing"
            for column in spec.types()
        }
    return compared
