"""The DAG of the pipeline: its nodes, their settings, and the connections between them."""
