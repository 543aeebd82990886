"""The DAG: which node feeds which, with which settings."""
