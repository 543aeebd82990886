"""Imports that forked commands share: all modules that a run of the pipeline imports. See `tests/e2e/conftest.py`."""

from core import garbage

with garbage.postponed():
    import pipeline.dag.wiring
    import pipeline.report.summary  # noqa: F401
