"""What a forked command finds imported: all that a run of the pipeline imports. See `tests/e2e/conftest.py`."""

from core import collection

with collection.postponed():
    import pipeline.dag
    import pipeline.summary  # noqa: F401
