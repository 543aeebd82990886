"""Items and candidates in a packed form, with which a ranker is called in one tensor of each type.

A call of a SavedModel costs some 50 µs for each input tensor, and strings and the transform graph cost more. So an
engine calls `pack` once for all items of its catalogue, and afterwards passes a row of the result for each candidate.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import tensorflow as tf

from core import names
from trainer.ranking import context
from transform import raw
from transform.features import Features, timestamp_columns
from transform.names import outputs

INTEGERS, NUMBERS, SIGNALS = "integers", "numbers", "signals"
PADDING = -1  # the first integer of a padding; that of an item is a hash, which is not negative


@dataclass
class Packing:
    """The positions of columns in the integers [..., I] and the numbers [..., F] of an item.

    The first integer is the hash of the item's id. Timestamps are float64, whose bits are among the integers.

    Args:
      features: the feature configuration.
      shapes: transformed column → the type and the shape of its value for an item, which `pack` sets.
    """

    features: Features
    shapes: dict[str, tuple[tf.DType, tuple[int, ...]]] = field(default_factory=dict)

    def pack(self, transform: Callable, items: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the packed items: int64 [N, I] and float32 [N, F].

        Args:
          transform: the transform graph as a layer.
          items: item_id and the raw features of items, [N, …] each.
        """
        columns = transform(raw.to_sparse(items))
        chosen = {name: columns[name] for name in (names.ITEM_ID, *outputs(self.features.item))}
        self.shapes = {name: (value.dtype, tuple(value.shape[1:])) for name, value in chosen.items()}
        integers = [context.hashed(items[names.ITEM_ID])[:, tf.newaxis]]
        numbers = [tf.zeros([tf.shape(items[names.ITEM_ID])[0], 0])]
        for name, value in chosen.items():
            flat = tf.reshape(value, [-1, self._width(name)])
            if value.dtype.is_integer:
                integers.append(tf.cast(flat, tf.int64))
            else:
                numbers.append(tf.cast(flat, tf.float32))
        for name in self._timestamps():
            integers.append(tf.bitcast(tf.cast(items[name], tf.float64), tf.int64)[:, tf.newaxis])
        return {INTEGERS: tf.concat(integers, axis=1), NUMBERS: tf.concat(numbers, axis=1)}

    def unpack(self, integers: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Return the hashes of candidates [B, C], and their transformed columns and raw timestamps [B, C, …]."""
        hashes, columns = integers[..., 0], {}
        integer, number = 1, 0
        for name, (kind, shape) in self.shapes.items():
            width = self._width(name)
            if kind.is_integer:
                part, integer = integers[..., integer : integer + width], integer + width
            else:
                part, number = numbers[..., number : number + width], number + width
            columns[name] = tf.cast(tf.reshape(part, tf.concat([tf.shape(hashes), shape], 0)), kind)
            columns[name].set_shape([None, None, *shape])
        for name in self._timestamps():
            columns[name] = tf.bitcast(integers[..., integer], tf.float64)
            integer += 1
        return hashes, columns

    def specs(self, signals: int) -> dict[str, tf.TensorSpec]:
        """Return the specs of the packed candidates."""
        integers = sum(self._width(name) for name, (kind, _) in self.shapes.items() if kind.is_integer)
        numbers = sum(self._width(name) for name, (kind, _) in self.shapes.items() if not kind.is_integer)
        return {
            INTEGERS: tf.TensorSpec([None, None, 1 + integers + len(self._timestamps())], tf.int64, INTEGERS),
            NUMBERS: tf.TensorSpec([None, None, numbers], tf.float32, NUMBERS),
            SIGNALS: tf.TensorSpec([None, None, signals], tf.float32, SIGNALS),
        }

    def _width(self, name: str) -> int:
        return math.prod(self.shapes[name][1])

    def _timestamps(self) -> list[str]:
        return timestamp_columns(self.features.item)
