"""Dropout with its own seeds, and the batches of an epoch."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pytest
import tensorflow as tf

from trainer.layers import Dropout, seed_everything, shuffled_rows


def test_dropout_keeps_the_configured_share_and_the_mean():
    seed_everything(1)
    layer, ones = Dropout(0.3), tf.ones([501, 999])  # an odd number of values
    found = layer(ones, training=True).numpy()
    assert set(np.unique(found)) == {0.0, np.float32(256 / 179)}
    assert (found > 0).mean() == pytest.approx(179 / 256, abs=0.003)
    assert found.mean() == pytest.approx(1, abs=0.005)
    columns, rows = (found > 0).mean(axis=0), (found > 0).mean(axis=1)
    assert columns.std() < 0.03  # no column or row is dropped more often than others
    assert rows.std() < 0.03
    assert (layer(ones, training=True).numpy() != found).any()
    np.testing.assert_array_equal(layer(ones), ones)
    np.testing.assert_array_equal(Dropout(0.0)(ones, training=True), ones)


def test_the_masks_depend_on_the_seed_alone():
    found = []
    for seed in (1, 1, 2):
        seed_everything(seed)
        layer = Dropout(0.5)
        seed_everything(7)  # as a fit in another thread does
        found.append(layer(tf.ones([9, 9]), training=True).numpy())
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize(("rows", "size", "batches"), [(10, 3, 3), (9, 3, 3), (2, 3, 1)])
def test_an_epoch_has_each_row_at_most_once_and_no_short_batch(rows, size, batches):
    random = np.random.default_rng(0)
    epochs = [np.concatenate(list(shuffled_rows(rows, size, random))) for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == min(rows, batches * size)
        assert len(set(epoch.tolist())) == len(epoch)
    if rows > size:
        assert (epochs[0] != epochs[1]).any()
