"""Running a DAG: the runner of one machine, its progress and logs, and what a run leaves."""
