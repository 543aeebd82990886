"""The report that a run leaves behind: one HTML file that needs nothing but a browser, not even a network."""

from pipeline.report.facts import ReportFacts, facts_of_run
from pipeline.report.page import write

__all__ = ["ReportFacts", "facts_of_run", "write"]
