"""StatisticsGen computes the statistics that TFX's own executor computes, from the same Examples."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json

import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen import executor as stock
from tfx.types import standard_artifacts

from components.statistics_gen.executor import Executor
from core import examples, names
from pipeline.config.beam import LOCAL

ROWS = 700


def written(folder) -> standard_artifacts.Examples:
    """Write random Examples in two files, with missing values and lists."""
    random = np.random.default_rng(7)
    table = pa.table(
        {
            "user_id": [f"u{number}" for number in random.integers(0, 90, ROWS)],
            "price": pa.array(random.lognormal(size=ROWS), pa.float32(), mask=random.random(ROWS) < 0.2),
            "time": random.integers(0, 2**40, ROWS),
            "genres": [[f"g{n}" for n in random.integers(0, 9, count)] for count in random.integers(0, 4, ROWS)],
            "title": pa.array([None] * ROWS, pa.string()),
        }
    )
    for shard, part in enumerate((table.slice(0, 400), table.slice(400))):
        examples.write_examples(part, examples.shard_path(str(folder), names.ALL, shard, 2))
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names, artifact.span = str(folder), json.dumps([names.ALL]), 3
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")
    return artifact


def test_the_statistics_are_those_of_tfx(tmp_path):
    table, found = written(tmp_path / "table"), []
    for executor in (Executor, stock.Executor):
        output = standard_artifacts.ExampleStatistics()
        output.uri = str(tmp_path / executor.__module__)
        context = executor.Context(tmp_dir=str(tmp_path), unique_id=executor.__module__, beam_pipeline_args=list(LOCAL))
        properties = {"stats_options_json": tfdv.StatsOptions(desired_batch_size=ROWS).to_json()}
        executor(context).Do({"examples": [table]}, {"statistics": [output]}, properties)
        assert (output.split_names, output.span) == (json.dumps([names.ALL]), 3)
        statistics = tfdv.load_stats_binary(f"{output.uri}/Split-{names.ALL}/FeatureStats.pb")
        [dataset] = statistics.datasets
        assert dataset.num_examples == ROWS
        found.append({feature.path.step[0]: feature for feature in dataset.features})
    assert found[0] == found[1]
    assert {"user_id", "price", "time", "genres"} <= set(found[0])
