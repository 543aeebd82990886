"""SavedModels with signatures and the values that they read, and nothing else."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf


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
    values.read = [each for each in tf.train.TrackableView(model).descendants() if isinstance(each, kinds)]
    tf.saved_model.save(values, folder, signatures=signatures)
