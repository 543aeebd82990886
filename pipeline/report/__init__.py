"""The report of a run: one HTML file without external resources."""

from pipeline.report.facts import ReportFacts, facts_of_run
from pipeline.report.page import write

__all__ = ["ReportFacts", "facts_of_run", "write"]
