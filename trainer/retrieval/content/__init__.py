"""Similarity of items by their features."""
