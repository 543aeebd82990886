"""The release store: reading, publishing, signing and collecting releases."""
