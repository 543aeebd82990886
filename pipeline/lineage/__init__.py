"""The lineage of releases, nodes and artifacts, from ML Metadata."""
