"""Submission of the compiled pipeline to Kubeflow Pipelines or Vertex AI: runs, schedules, and the state of a run."""
