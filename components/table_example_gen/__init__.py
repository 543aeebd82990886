"""A table's files, checked, become Examples: what TFX's own CsvExampleGen does, by column and much faster."""
