"""Retraining on a schedule: its settings, what is due, the runs as processes, their records, and what reports them."""
