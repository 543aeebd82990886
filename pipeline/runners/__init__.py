"""Running a DAG: the local runner, its progress and logs, its outputs, and the deletion of old artifacts."""
