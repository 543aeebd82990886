"""What a table holds and how its files are read, from the configuration; no TensorFlow and no TFX here."""

from components.table_example_gen.spec import TableSpec
from core import names
from pipeline.config import Config


def table_spec(config: Config, table: str) -> TableSpec:
    """Return how the files of a table are read."""
    source = getattr(config.data, table)
    features = {names.USERS: config.features.user, names.ITEMS: config.features.item}.get(table, {})
    extra = {names.ITEMS: config.data.title, names.INTERACTIONS: config.split.column}
    return TableSpec(
        table=table,
        columns=source.columns,
        separator=source.separator,
        on_invalid=source.on_invalid,
        on_duplicate=source.on_duplicate,
        max_dropped=source.max_dropped,
        rating_range=config.data.interactions.rating_range if table == names.INTERACTIONS else None,
        features={name: feature.model_dump() for name, feature in features.items()},
        extra=tuple(column for column in (extra.get(table),) if column),
    )
