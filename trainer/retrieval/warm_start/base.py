"""The weights of an earlier model, from a SavedModel."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from core import progress
from trainer import saving
from trainer.retrieval.warm_start.rows import Vocabularies, carried

VARIABLES = "variables"  # TensorFlow's folder for the weights of a SavedModel, and the name of its files


@dataclass(frozen=True)
class Base:
    """The weights that a fit of a model, or of a member of a fusion, begins with.

    The reader is not made for several threads at once: members that are fitted side by side call `start` and `value` in
    a block of `trainer.layers.seeded`.

    Args:
      reader: the reader of the weights.
      vocabularies: transformed index column → its vocabularies.
      prefix: the path of the model in the SavedModel; "" for the model itself.
    """

    reader: Any
    vocabularies: Mapping[str, Vocabularies]
    prefix: str = ""

    @classmethod
    def read(cls, folder: Path, vocabularies: Mapping[str, Vocabularies]) -> "Base":
        """Return the weights in a folder `variables` of a SavedModel."""
        return cls(tf.train.load_checkpoint(str(folder / VARIABLES)), vocabularies)

    def member(self, label: str) -> "Base":
        """Return the weights of a member of a fusion."""
        return replace(self, prefix=f"{self.prefix}members:{label}:")

    def value(self, path: str) -> np.ndarray | None:
        """Return the weight at a path of the model, see `trainer.saving.by_path`; None if there is none."""
        key = saving.key(self.prefix + path)
        return self.reader.get_tensor(key) if self.reader.has_tensor(key) else None

    def start(self, model: tf.Module, prefix: str, tables: Mapping[Any, str]) -> None:
        """Replace the initial weights of a model by the earlier ones where these fit, and report the others.

        Args:
          model: the model, with its weights.
          prefix: the path of the model in the one that was saved.
          tables: reference of an embedding table → the transformed column of its indices.
        """
        weights = [(path, each) for path, each in saving.by_path(model).items() if isinstance(each, tf.Variable)]
        weights = [(path, each) for path, each in weights if each.trainable]
        anew = []
        for path, weight in weights:
            column = tables.get(weight.ref())
            vocabularies = None if column is None else self.vocabularies[column]
            value = carried(weight.numpy(), self.value(prefix + path), vocabularies)
            if value is None:
                anew.append(path.replace(":", "."))
            else:
                weight.assign(value)
        line = f"{len(weights) - len(anew)} of {len(weights)} weights are those of the release in force"
        progress.report(f"{line}; initialised anew, since they do not fit: {', '.join(anew)}" if anew else line)
