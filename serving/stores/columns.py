"""Columns that the tables of an earlier version lack."""

import sqlalchemy as sa


def add_missing(connection: sa.Connection, tables: sa.MetaData) -> None:
    """Add the columns that the tables of an earlier version lack; all of them may be null."""
    inspected, prepared = sa.inspect(connection), connection.dialect.identifier_preparer
    for table in tables.sorted_tables:
        present = {column["name"] for column in inspected.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                kind = column.type.compile(connection.dialect)
                name, added = prepared.format_table(table), prepared.format_column(column)
                connection.execute(sa.text(f"ALTER TABLE {name} ADD COLUMN {added} {kind}"))
