"""Comparisons of the outputs of two runs, bit for bit where the format defines an order."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import gzip
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from tensorflow.core.example import example_pb2

from core.files import folder_digests

OF_GRAPHS = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb")


def examples(records: bytes) -> Iterator[bytes]:
    """Yield the Examples of a TFRecord file with their features in order: in the file, their order is not defined."""
    place = 0
    while place < len(records):
        [length] = struct.unpack_from("<Q", records, place)
        record = records[place + 12 : place + 12 + length]
        yield example_pb2.Example.FromString(record).SerializeToString(deterministic=True)
        place += 12 + length + 4


def digests(folder: Path) -> dict[str, str]:
    """Return path → digest of the content of the files below a folder, without those of graphs."""
    found = {}
    for name, digest in folder_digests(folder).items():
        if name.endswith(".gz"):
            digest = hashlib.sha256(b"".join(examples(gzip.decompress((folder / name).read_bytes())))).hexdigest()
        if not name.endswith(OF_GRAPHS):
            found[name] = digest
    return found


def check_statistics(one: Path, other: Path) -> None:
    """Check that statistics are equal but for the order of the features and the last digits of means."""
    ours, theirs = (
        {each.path.step[0]: each for each in tfdv.load_stats_binary(str(file)).datasets[0].features}
        for file in (one, other)
    )
    assert ours.keys() == theirs.keys()
    for name, feature in ours.items():
        for key in ("mean", "std_dev"):
            found = getattr(theirs[name].num_stats, key)
            assert getattr(feature.num_stats, key) == pytest.approx(found, rel=1e-9)
        for statistics in (feature, theirs[name]):
            statistics.num_stats.ClearField("mean")
            statistics.num_stats.ClearField("std_dev")
        assert feature.SerializeToString(deterministic=True) == theirs[name].SerializeToString(deterministic=True)
