"""SavedModels with signatures and the values that they read, and nothing else."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import Any

import tensorflow as tf

READ = "read"  # the attribute of a SavedModel that holds its values by path


def save(model: tf.Module, signatures: dict[str, tf.types.experimental.ConcreteFunction], folder: str) -> None:
    """Write the SavedModel of a model: its signatures, variables, tables and files, but not its layers.

    TensorFlow would trace functions of every Keras layer, which no server calls; that took half of the time of saving.

    Args:
      model: the model; all that the signatures read is an attribute of it, directly or through other objects.
      signatures: name → function.
      folder: the folder of the SavedModel.
    """
    kinds = (tf.Variable, tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
    values = tf.Module()
    # By path, so that a later fit finds a weight by the same path; see `trainer.retrieval.warm_start`.
    values.read = {path: each for path, each in by_path(model).items() if isinstance(each, kinds)}
    tf.saved_model.save(values, folder, signatures=signatures)


def key(path: str) -> str:
    """Return the key of the value at a path in the checkpoint of a SavedModel that `save` wrote."""
    # TensorFlow escapes the two characters that have a meaning in its keys.
    escaped = path.replace(".", "..").replace("/", ".S")
    return f"{READ}/{escaped}/.ATTRIBUTES/VARIABLE_VALUE"


def by_path(model: tf.Module) -> dict[str, Any]:
    """Return all objects that a model is made of by their shortest paths: names of attributes, joined by colons."""
    found, waiting = {id(model)}, [("", model)]
    objects = {}
    for prefix, parent in waiting:
        for name, child in tf.train.TrackableView.children(parent).items():
            if id(child) not in found:
                found.add(id(child))
                objects[f"{prefix}{name}"] = child
                waiting.append((f"{prefix}{name}:", child))
    return objects
