"""Neighbourhood models: items, or users, that are similar by their events."""
