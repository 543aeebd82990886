"""Metrics over the full catalogue with intervals, by slice and against baselines; and the rules of a release."""
