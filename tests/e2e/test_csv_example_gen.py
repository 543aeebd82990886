"""TableExampleGen writes the Examples that TFX's CsvExampleGen writes, row by row, from the same file."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.table_example_gen.spec import TableSpec
from core import names
from core.examples import files
from pipeline.config.beam import LOCAL

ROWS = 500
EVENTS = TableSpec(table="interactions", on_duplicate="keep")
ITEMS = TableSpec(
    table="items", features={"price": {"kind": "numeric"}, "maker": {"kind": "categorical"}}, extra=("title",)
)


def events(random: np.random.Generator) -> list[str]:
    columns = random.integers([0, 0, 0, 2], [40, 90, 1_600_000_000, 11], [ROWS, 4])
    rows = [f"u{user},i-{item},{time},{rating / 2}" for user, item, time, rating in columns]
    return ["user_id,item_id,timestamp,rating", *rows]


def items(random: np.random.Generator) -> list[str]:
    prices = [f"{price:.3f}" if price > 1 else "" for price in random.lognormal(1, 2, ROWS)]
    makers = random.choice(["Müller", "北京", "O'Neill & Co.", ""], ROWS)
    return ["item_id,price,maker,title", *(f'i{n},{prices[n]},{makers[n]},"a, b ""{n}"""' for n in range(ROWS))]


def run(components: list, root: Path) -> list[str]:
    """Run some ExampleGens in one pipeline, and return the URIs of their Examples."""
    from tfx import v1 as tfx

    pipeline = tfx.dsl.Pipeline(
        pipeline_name="both",
        pipeline_root=str(root / "run"),
        components=components,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "metadata")),
        beam_pipeline_args=list(LOCAL),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    return [str(uri) for each in components for uri in (root / "run" / each.id / "examples").iterdir()]


def rows(uri: str) -> list[dict[str, tuple]]:
    """Return the features of each Example that have values, sorted, since CsvExampleGen shuffles."""
    found = []
    for record in tf.data.TFRecordDataset(files(uri, names.ALL), compression_type="GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        values = {name: (each.bytes_list, each.int64_list, each.float_list) for name, each in features.items()}
        lists = {name: tuple(value for one in kinds for value in one.value) for name, kinds in values.items()}
        found.append({name: value for name, value in lists.items() if value})
    return sorted(found, key=lambda row: sorted(row.items()))


@pytest.mark.parametrize(("spec", "lines"), [(EVENTS, events), (ITEMS, items)], ids=["events", "items"])
def test_the_examples_are_those_of_csv_example_gen(spec, lines, tmp_path):
    from tfx import v1 as tfx

    from components.table_example_gen.component import TableExampleGen
    from components.table_example_gen.sources import matching
    from pipeline.config import spans
    from pipeline.config.data import Spans

    data = tmp_path / "data"
    data.mkdir()
    (data / "table.csv").write_text("\n".join(lines(np.random.default_rng(7))) + "\n", encoding="utf-8")
    source = spans.choose({spec.table: "table.csv"}, Spans(), str(data), matching)[spec.table]
    one_split = tfx.proto.Output(
        split_config=tfx.proto.SplitConfig(splits=[tfx.proto.SplitConfig.Split(name=names.ALL, hash_buckets=1)])
    )
    csv = tfx.components.CsvExampleGen(input_base=str(data), output_config=one_split)
    stock, ours = map(rows, run([csv, TableExampleGen(spec, source, "1")], tmp_path))
    assert len(stock) == ROWS
    assert ours == stock
