"""The same task with stock TFX components alone: one table, a TFRS two-tower and a Keras MLP, as in its tutorials.

    python benchmarks/stock_tfx.py FOLDER EVENTS

FOLDER holds `joined/` with one CSV file of the joined events. CsvExampleGen, StatisticsGen, SchemaGen,
ExampleValidator, Transform, two Trainers, Evaluator and two Pushers run one after the other with TFX's LocalDagRunner.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_recommenders as tfrs
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx_bsl.public import tfxio

DIM, BATCH, EPOCHS, SEED = 32, 4096, 5, 42
STRINGS = ("user_id", "item_id", "device", "gender", "occupation", "category")
NUMBERS = ("age", "price")
USER = ("user_id", "gender", "occupation", "age")
ITEM = ("item_id", "category", "price")
LABEL = "rating"


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return vocabulary indices from 0, z-scores, and the rating as a number."""
    outputs = {
        name: tft.compute_and_apply_vocabulary(_flat(inputs[name]), num_oov_buckets=1, vocab_filename=name)
        for name in STRINGS
    }
    outputs |= {name: tft.scale_to_z_score(tf.cast(_flat(inputs[name]), tf.float32)) for name in NUMBERS}
    return outputs | {LABEL: tf.cast(_flat(inputs[LABEL]), tf.float32)}


def _flat(column: Any) -> Any:
    """Return a column with one value in each row as [B]."""
    return tf.reshape(tf.sparse.to_dense(column) if isinstance(column, tf.SparseTensor) else column, [-1])


def retrieval_fn(arguments: Any) -> None:
    """Fit a two-tower with TensorFlow Recommenders, and export the query tower with raw features."""
    transform = tft.TFTransformOutput(arguments.transform_output)
    query, item = _tower(transform, USER), _tower(transform, ITEM)

    class TwoTower(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.query, self.item = query, item
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features, training=False):
            return self.task(self.query(features), self.item(features), compute_metrics=False)

    model = TwoTower()
    model.compile(optimizer=tf.keras.optimizers.legacy.Adam(0.003))
    _fit(model, arguments, transform, labelled=False)
    _export(query, arguments.serving_model_dir, transform, LABEL)


def ranking_fn(arguments: Any) -> None:
    """Fit an MLP that predicts ratings with Keras, and export it with raw features."""
    transform = tft.TFTransformOutput(arguments.transform_output)
    inputs = _inputs([*STRINGS, *NUMBERS])
    hidden = tf.concat(_encoded(transform, inputs), axis=1)
    for units in (64, 32):
        hidden = tf.keras.layers.Dense(units, "relu")(hidden)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(hidden))
    model.compile(optimizer=tf.keras.optimizers.legacy.Adam(0.001), loss="mse")
    _fit(model, arguments, transform, labelled=True)
    _export(model, arguments.serving_model_dir, transform, LABEL)


def _inputs(columns: list[str]) -> dict[str, Any]:
    return {name: tf.keras.Input([], name=name, dtype=tf.int64 if name in STRINGS else tf.float32) for name in columns}


def _encoded(transform: tft.TFTransformOutput, inputs: dict[str, Any]) -> list[Any]:
    """Return an embedding of each index, and each number as a column."""
    return [
        tf.keras.layers.Embedding(transform.vocabulary_size_by_name(name) + 1, DIM)(value)
        if name in STRINGS
        else value[:, tf.newaxis]
        for name, value in inputs.items()
    ]


def _tower(transform: tft.TFTransformOutput, columns: tuple[str, ...]) -> tf.keras.Model:
    inputs = _inputs(list(columns))
    return tf.keras.Model(inputs, tf.keras.layers.Dense(DIM)(tf.concat(_encoded(transform, inputs), axis=1)))


def _fit(model: tf.keras.Model, arguments: Any, transform: tft.TFTransformOutput, labelled: bool) -> None:
    """Fit a model on the transformed Examples of train, which TFX's data accessor reads, repeats and shuffles."""
    schema = transform.transformed_metadata.schema

    options = tfxio.TensorFlowDatasetOptions(
        batch_size=BATCH, label_key=LABEL if labelled else None, num_epochs=None, shuffle_seed=SEED
    )
    batches = arguments.data_accessor.tf_dataset_factory(arguments.train_files, options, schema)
    if labelled:
        flat = batches.map(lambda columns, label: ({key: _flat(each) for key, each in columns.items()}, _flat(label)))
    else:
        flat = batches.map(lambda columns: {key: _flat(each) for key, each in columns.items()})
    model.fit(flat.prefetch(2), epochs=EPOCHS, steps_per_epoch=arguments.train_steps, verbose=2)


def _export(model: tf.keras.Model, folder: str, transform: tft.TFTransformOutput, without: str) -> None:
    """Save a model with the signature `serving_default`: serialized Examples [B] → output."""
    model.transform_layer = transform.transform_features_layer()
    specification = {key: value for key, value in transform.raw_feature_spec().items() if key != without}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(examples):
        columns = model.transform_layer(tf.io.parse_example(examples, specification))
        return {"output": model({tensor: columns[tensor] for tensor in model.input})}

    model.save(folder, save_format="tf", signatures={"serving_default": serve})


def pipeline(folder: Path, rows: int) -> Any:
    """Return the pipeline over the table in `folder`/joined."""
    components = tfx.components
    examples = components.CsvExampleGen(input_base=str(folder / "joined"))
    statistics = components.StatisticsGen(examples=examples.outputs["examples"])
    schema = components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="stock_tfx.preprocessing_fn",
    )
    steps = max(1, rows * 2 // 3 // BATCH)
    trainers = {}
    for step in ("retrieval", "ranking"):
        trainers[step] = components.Trainer(
            run_fn=f"stock_tfx.{step}_fn",
            examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            schema=schema.outputs["schema"],
            train_args=tfx.proto.TrainArgs(num_steps=steps),
            eval_args=tfx.proto.EvalArgs(num_steps=1),
        ).with_id(f"{step.capitalize()}Trainer")
    bound = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(upper_bound={"value": 10.0}))
    evaluator = components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainers["ranking"].outputs["model"],
        eval_config=tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(signature_name="serving_default", label_key=LABEL)],
            slicing_specs=[tfma.SlicingSpec()],
            metrics_specs=[
                tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="MeanSquaredError", threshold=bound)])
            ],
        ),
    )
    pushers = [
        components.Pusher(
            model=trainers[step].outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(
                filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(folder / "pushed" / step))
            ),
        ).with_id(f"{step.capitalize()}Pusher")
        for step in trainers
    ]
    return tfx.dsl.Pipeline(
        pipeline_name="stock",
        pipeline_root=str(folder / "pipeline"),
        components=[examples, statistics, schema, validator, transform, *trainers.values(), evaluator, *pushers],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
        beam_pipeline_args=["--runner=FnApiRunner"],
    )


def main() -> None:
    """Run the pipeline."""
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    sys.argv = sys.argv[:1]  # Beam executors parse the arguments of the process
    tfx.orchestration.LocalDagRunner().run(pipeline(folder, rows))


if __name__ == "__main__":
    main()
