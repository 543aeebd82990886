"""Retrieval by an engine, from the tables of a retrieval model. NumPy only."""
