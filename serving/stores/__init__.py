"""Stores of what changes while a release is served: events, features of users and items, and answers."""
