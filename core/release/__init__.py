"""The store of releases: reading, publishing, signing and deleting them."""
