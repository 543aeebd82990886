"""SavedModels as functions of NumPy arrays.

`tf.saved_model.load` rebuilds every function of a SavedModel in Python and calls a signature eagerly. Here the graph of
the wanted signatures is imported into a session of its own: compared with that, loading takes a third of the time, and
a call a quarter.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from core.errors import ModelError

_INIT = "__saved_model_init_op"  # the signature of the op that initialises lookup tables

Signature = Callable[..., dict[str, np.ndarray]]


class SavedModel:
    """The signatures of a SavedModel in one session.

    Args:
      folder: the folder of the SavedModel.
      wanted: the signatures to load; those that the model lacks are ignored; None loads all.
      optimized: whether TensorFlow optimises the graph at the first call of a signature, which saves time after some
        hundred calls; without optimisation the first call takes half the time.

    Attributes:
      signatures: name → a function that takes the signature's inputs by name and returns its outputs by name.
      outputs: name → the names of the signature's outputs.
      variables: the keys of the variables in memory, in the checkpoint of the SavedModel.

    The session holds the variables and tables of the model that these signatures use; `close` frees them.

    Raises:
      ModelError: the folder holds no SavedModel that TensorFlow wrote, or its variables cannot be read.
    """

    def __init__(self, folder: str | Path, wanted: Collection[str] | None = None, optimized: bool = True):
        folder = Path(folder)
        meta = _read(folder)
        signatures = {
            name: signature
            for name, signature in meta.signature_def.items()
            if name != _INIT and (wanted is None or name in wanted)
        }
        if _INIT not in meta.signature_def:
            raise ModelError(f"{folder}: should be a SavedModel of TensorFlow 2, with the signature {_INIT}")
        init = _operation(meta.signature_def[_INIT].outputs[_INIT].name)
        assets = {each.tensor_info.name: str(folder / "assets" / each.filename) for each in meta.asset_file_def}
        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = not optimized
        tensors = [
            *(
                tensor.name
                for each in signatures.values()
                for side in (each.inputs, each.outputs)
                for tensor in side.values()
            ),
            *(init, *assets),
        ]
        pruned = _pruned(meta.graph_def, tensors, None if optimized else config)
        kept = {node.name for node in pruned.node}
        variables = {handle: key for handle, key in _keys(folder, meta).items() if handle in kept}
        with tf.Graph().as_default() as graph:
            self._session = tf.compat.v1.Session(graph=graph, config=config)
            try:
                tf.compat.v1.train.import_meta_graph(
                    meta_graph_pb2.MetaGraphDef(meta_info_def=meta.meta_info_def, graph_def=pruned)
                )
                self._session.run(_restored(graph, folder, variables))
                self.variables = tuple(sorted(variables.values()))
                self._session.run(init, assets)
            except (tf.errors.OpError, ValueError) as error:
                self._session.close()
                raise ModelError(f"{folder}: its graph, variables or files cannot be loaded: {error}") from None
        # The signatures themselves are not kept: any part of a protocol buffer keeps the whole buffer in memory.
        self._shapes = {
            name: {key: (_numpy_type(value), [dim.size for dim in value.tensor_shape.dim]) for key, value in inputs}
            for name, inputs in ((name, each.inputs.items()) for name, each in signatures.items())
        }
        self._closed = False
        self.signatures = {name: self._callable(each) for name, each in signatures.items()}
        self.outputs = {name: frozenset(each.outputs) for name, each in signatures.items()}

    def close(self) -> None:
        """Free the variables and tables. No signature can be called afterwards."""
        self._closed = True
        self._session.close()

    def warm(self, name: str) -> None:
        """Call a signature with one row of missing values, so that later calls do not pay for its initialisation."""
        inputs = {
            key: np.full([1 if size < 0 else size for size in shape], "" if kind is object else 0, kind)
            for key, (kind, shape) in self._shapes[name].items()
        }
        self.signatures[name](**inputs)

    def _callable(self, signature: Any) -> Signature:
        """Return a function over the session, which raises a TypeError for unknown or missing inputs."""
        types = {name: _numpy_type(each) for name, each in signature.inputs.items()}
        outputs = list(signature.outputs)
        options = config_pb2.CallableOptions(
            feed=[signature.inputs[name].name for name in types],
            fetch=[signature.outputs[name].name for name in outputs],
        )
        # `Session.make_callable` would build and check dictionaries at each call, which takes as long as a small graph.
        # Made at the first call, since TensorFlow then optimises the graph for the outputs of this signature.
        run = functools.cache(lambda: self._session._make_callable_from_options(options))

        def call(**inputs: Any) -> dict[str, np.ndarray]:
            if inputs.keys() != types.keys():
                raise TypeError(f"inputs should be {sorted(types)}; found {sorted(inputs)}")
            if self._closed:
                raise RuntimeError("the model was closed")
            values = run()(*(np.asarray(inputs[name], kind) for name, kind in types.items()))
            return dict(zip(outputs, values, strict=True))

        return call


def _read(folder: Path) -> Any:
    """Return the only MetaGraphDef of a SavedModel. Raises: ModelError."""
    file = folder / "saved_model.pb"
    try:
        return saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs[0]
    except (OSError, DecodeError, IndexError) as error:
        raise ModelError(f"{folder}: cannot be read as a SavedModel: {error}") from None


def _keys(folder: Path, meta: Any) -> dict[str, str]:
    """Return the name of each variable's node → its key in the checkpoint. Raises: ModelError.

    The operation that restores a model calls a function of all variables, which assigns to each one value of the
    checkpoint.
    """
    call = next((node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name), None)
    name = call.attr["f"].func.name if call is not None else None
    function = next((each for each in meta.graph_def.library.function if each.signature.name == name), None)
    if call is None or function is None:
        raise ModelError(f"{folder}: should be a SavedModel of TensorFlow 2, with a function that restores it")
    handles = dict(zip((each.name for each in function.signature.input_arg), call.input, strict=True))
    nodes = {node.name: node for node in function.node_def}
    found = {}
    for node in function.node_def:
        if node.op == "AssignVariableOp":
            value = node.input[1].split(":")
            while nodes[value[0]].op == "Identity":
                value = nodes[value[0]].input[0].split(":")
            keys = nodes[nodes[value[0]].input[1].split(":")[0]].attr["value"].tensor
            found[_operation(handles[node.input[0]])] = keys.string_val[int(value[-1])].decode()
    others = {_operation(name) for name in call.input[1:]} - set(found)
    if others:
        raise ModelError(f"{folder}: should have no state but variables; found {', '.join(sorted(others))}")
    return found


def _restored(graph: Any, folder: Path, variables: dict[str, str]) -> list[Any]:
    """Return operations that read variables from a checkpoint.

    Args:
      graph: the graph of the variables, which is the default one.
      folder: the folder of the SavedModel.
      variables: the name of a variable's node → its key in the checkpoint.
    """
    if not variables:
        return []
    handles = [graph.get_operation_by_name(name).outputs[0] for name in variables]
    types = [handle.op.get_attr("dtype") for handle in handles]
    prefix = str(folder / "variables" / "variables")
    values = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=list(variables.values()), shape_and_slices=[""] * len(handles), dtypes=types
    )
    return [
        tf.raw_ops.AssignVariableOp(resource=handle, value=value) for handle, value in zip(handles, values, strict=True)
    ]


def _numpy_type(tensor: Any) -> Any:
    """Return the NumPy type of an input; object for strings."""
    return tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype


def _operation(tensor: str) -> str:
    """Return the name of the node of a tensor, "name:0", or of a control input, "^name"."""
    return tensor.removeprefix("^").partition(":")[0]


def _pruned(graph: Any, tensors: Iterable[str], config: Any) -> Any:
    """Return the part of a graph that some tensors depend on, with the functions that this part calls.

    Args:
      graph: a GraphDef.
      tensors: names of tensors or nodes.
      config: a ConfigProto for the functions that nodes call; None keeps the recorded ones.
    """
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    needed: set[str] = set()
    pending = [_operation(name) for name in tensors]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += map(_operation, nodes[name].input)
    kept = type(graph)(node=[nodes[name] for name in sorted(needed)], versions=graph.versions)
    called: set[str] = set()
    nodes_left = list(kept.node)
    while nodes_left:
        for name in _functions(nodes_left.pop()) & functions.keys() - called:
            called.add(name)
            nodes_left += functions[name].node_def
    kept.library.function.extend(functions[name] for name in sorted(called))
    if config is not None:
        for node in (*kept.node, *(node for function in kept.library.function for node in function.node_def)):
            if "config_proto" in node.attr:
                node.attr["config_proto"].s = config.SerializeToString()
    return kept


def _functions(node: Any) -> set[str]:
    """Return the names of the functions that a node may call, and its op, which may be the name of a function."""
    names = {node.op}
    for value in node.attr.values():
        if value.HasField("func"):
            names.add(value.func.name)
        names |= {function.name for function in value.list.func}
    return names
