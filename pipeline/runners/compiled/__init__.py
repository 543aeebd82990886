"""The pipeline as a specification for Kubeflow Pipelines and Vertex AI, and the tasks that such a specification runs.

specification.py       the DAG → a specification
specification_file.py  a specification in a file, and the values of its parameters
rules.py               what a specification must be to run
parameters.py          its runtime parameters
task.py                the command of each task's container
executor_input.py      what a task reads and writes
task_lineage.py        the lineage of what a task writes
staging.py             the local folders of a task
launcher.py            one task, as on a cluster but on this machine
execution.py           all tasks of a specification on this machine
"""
