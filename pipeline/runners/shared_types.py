"""The registration of the types of a pipeline in a database that several pipelines write to.

ML Metadata does not keep two processes from creating one type twice, and what was then recorded with one of the two is
not found by the other. So all types of a pipeline are created before anything is recorded: in PostgreSQL under a lock.
For MySQL there is none; there a process that had to create a type waits until others, which may have created it at the
same moment, see it.
"""

import core.tf  # noqa: F401 - before TFX, which imports TensorFlow

import time
from typing import Any

from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration.portable.mlmd.context_lib import CONTEXT_TYPE_EXECUTION_CACHE

from pipeline.lineage import type_lock

_SECONDS = 2  # longer than the transaction that creates a type


def register(store: Any, nodes: list[Any], connection: Any) -> None:
    """Create the types of the contexts, executions and artifacts of the nodes, if they are missing.

    Args:
      store: an `ml_metadata.MetadataStore`.
      nodes: the messages PipelineNode of the compiled pipeline.
      connection: the ConnectionConfig of the store.
    Raises:
      TwostepError: the lock of the database cannot be taken.
    """
    if connection.HasField("postgresql"):
        with type_lock.held(connection.postgresql):
            _create(store, nodes)
    elif _create(store, nodes):
        time.sleep(_SECONDS)


def _create(store: Any, nodes: list[Any]) -> bool:
    """Create the types that are missing; return whether there were any."""
    contexts = {context.type.name: context.type for node in nodes for context in node.contexts.contexts}
    contexts[CONTEXT_TYPE_EXECUTION_CACHE] = mlmd.ContextType(name=CONTEXT_TYPE_EXECUTION_CACHE)
    executions = {node.node_info.type.name: node.node_info.type for node in nodes}
    artifacts = {
        output.artifact_spec.type.name: output.artifact_spec.type
        for node in nodes
        for output in node.outputs.outputs.values()
    }
    new = False
    for kind, types in (("context", contexts), ("execution", executions), ("artifact", artifacts)):
        for name, type_ in types.items():
            try:
                getattr(store, f"get_{kind}_type")(name)
            except errors.NotFoundError:
                getattr(store, f"put_{kind}_type")(type_, can_add_fields=True, can_omit_fields=True)
                new = True
    return new
