"""Warm start: a fit begins with the weights of the retrieval model of the release in force.

Each early model begins with the early model of the earlier run, and each released one with the released one, so that
neither has learned from events on which it is evaluated; `known.py` checks this. Beside the released model, the folder
`FOLDER` of its SavedModel therefore holds the weights of the early model and the last event that each model knows.
"""
