"""A script that calls SavedModels in a separate process with only TensorFlow and YDF's op, as TensorFlow Serving has.

`conftest.py` starts the script with a folder as argument. The script reads `models/step/name` and
`inputs/step.name.signature.npz` in this folder, and writes `answers/` and `report.json` to it.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import ydf_tf  # noqa: F401 - registers the op
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

OURS = ("core", "trainer", "transform", "tensorflow_transform", "tfx_bsl", "tfx", "tf_keras", "tensorflow_recommenders")


def ask(served: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    answer = served(**{name: tf.constant(value) for name, value in inputs.items()})
    return {
        key: np.asarray(value.numpy()).astype("U") if value.dtype == tf.string else value.numpy()
        for key, value in answer.items()
    }


def ops(model: Path) -> list[str]:
    """Return every op of a SavedModel, including the ops inside its functions."""
    graph = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sorted({node.op for node in nodes} - {function.signature.name for function in graph.library.function})


def main(root: Path) -> None:
    report: dict[str, dict] = {}
    loaded: dict[Path, Any] = {}
    for file in sorted((root / "inputs").iterdir()):
        step, name, signature = file.stem.split(".")
        model = root / "models" / step / name
        used = ops(model)
        report[file.stem] = {"ops": used, "unregistered": [op for op in used if op_def_registry.get(op) is None]}
        try:
            if model not in loaded:
                loaded[model] = tf.saved_model.load(str(model))
            with np.load(
                file, allow_pickle=True
            ) as inputs:  # arrays of strings and of serialized Examples have dtype object
                np.savez(root / "answers" / file.name, **ask(loaded[model].signatures[signature], dict(inputs)))
        except Exception:
            report[file.stem]["error"] = traceback.format_exc()
    imported = sorted({module.partition(".")[0] for module in sys.modules} & set(OURS))
    (root / "report.json").write_text(json.dumps({"models": report, "imported": imported}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
