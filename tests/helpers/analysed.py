"""The transform graph of given tables, made as in the pipeline."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import os
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.tfxio import tf_example_record

from core import locks, names
from core.arrow import write_arrow
from core.examples import shard_path, write_examples
from transform.features import Features, raw_columns
from transform.preprocessing import preprocessing_fn


def transformed(
    factory: pytest.TempPathFactory, parts: dict[str, pa.Table], items: pa.Table, features: Features
) -> tuple[Path, Path]:
    """Return the folder of the events and that of their transform graph; the first worker of pytest makes both."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "transformed"
    shared.mkdir(exist_ok=True)
    uri, done = shared / "events", shared / "done"
    with locks.exclusive(shared / "lock"):
        if not done.exists():
            for name, part in parts.items():
                write_examples(part, shard_path(str(uri), name, 0, 1))
            write_arrow(items, uri / names.CATALOGUE_FILE)
            _analyze(uri, shared, features)
            done.touch()
    return uri, shared / "transform"


def _analyze(uri: Path, folder: Path, features: Features) -> None:
    """Write the transform graph, analysed over train and eval as in the pipeline."""
    spec = {name: tf.io.VarLenFeature(tf.string) for name in (names.USER_ID, names.ITEM_ID, names.HISTORY)}
    for name, each in raw_columns(features.user | features.item).items():
        spec[name] = tf.io.VarLenFeature(tf.as_dtype(each.dtype))
    source = tf_example_record.TFExampleRecord(
        str(uri / "Split-[te][rv]a*" / "*.gz"), schema=schema_utils.schema_from_feature_spec(spec)
    )
    config = {"features": features.model_dump_json()}
    with (
        beam.Pipeline(runner="FnApiRunner") as pipeline,
        tft_beam.Context(temp_dir=str(folder / "beam")),
    ):
        fitted = (pipeline | source.BeamSource(), source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(
            functools.partial(preprocessing_fn, custom_config=config)
        )
        _ = fitted | tft_beam.WriteTransformFn(str(folder / "transform"))
