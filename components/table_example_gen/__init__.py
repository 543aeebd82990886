"""The conversion of a table's files to Examples, with checks; columnar and faster than TFX's CsvExampleGen."""
