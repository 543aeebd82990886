"""The command of the container of each task: makes everything local, runs TFX's entry point, and publishes the outputs.

    python -m pipeline.runners.compiled.task --target kubeflow|vertex --executor_class_path CLASS
        --json_serialized_invocation_args JSON --json_serialized_inputs_spec_args JSON [Beam arguments]

On Kubeflow the launcher has copied the inputs to folders, and uploads the outputs from folders; TWOSTEP_MOUNTS names
another parent of these folders than `/`. On Vertex AI the task itself downloads the inputs and uploads the outputs. The
executor sees local folders in both cases; but where the Beam arguments name an engine of other machines, it sees URIs.
"""

import argparse
import copy
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import node_ids
from core.errors import TwostepError
from core.printable import as_error
from pipeline.config.beam import check_arguments, is_distributed
from pipeline.lineage import graph
from pipeline.runners.compiled import executor_input, task_lineage
from pipeline.runners.compiled.parameters import NODE
from pipeline.runners.compiled.staging import Staging

MOUNTS = "TWOSTEP_MOUNTS"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the task and return its exit code."""
    arguments, beam = _parser().parse_known_args(argv)
    try:
        _run(arguments, beam)
    except TwostepError as error:
        print(as_error(str(error)), file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.compiled.task", allow_abbrev=False)
    parser.add_argument("--target", choices=("kubeflow", "vertex"), required=True)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    return parser


def _run(arguments: argparse.Namespace, beam: list[str]) -> None:
    """Run the executor of a task and write its output. Raises: TwostepError."""
    given = json.loads(arguments.json_serialized_invocation_args)
    inputs_spec = json.loads(arguments.json_serialized_inputs_spec_args)
    uris = {key: artifact["uri"] for key, artifact in executor_input.artifacts(given, "outputs")}
    output_place = given["outputs"]["outputFile"]
    began, lineage = time.time(), task_lineage.of_inputs(given)
    before = copy.deepcopy(given)
    mounts = Path(os.environ.get(MOUNTS, "/")) if arguments.target == "kubeflow" else None
    with tempfile.TemporaryDirectory(prefix="twostep-") as temporary:
        staging = Staging(Path(temporary), mounts, list(uris.values()), is_distributed(beam))
        for _, artifact in executor_input.artifacts(given, "inputs"):
            staging.fetch(artifact["uri"])
        staging.begin()
        run = executor_input.mend(given, inputs_spec, staging.local)
        parameters = given["inputs"]["parameterValues"]
        check_arguments(beam)
        output_file = Path(temporary, "output", "executor_output.json")
        given["outputs"]["outputFile"] = str(output_file)
        try:
            staging.stage_parameters(parameters, run)
            if run[NODE] == node_ids.RELEASE_PUSHER:
                parameters[task_lineage.KEY] = json.dumps(graph.to_json(lineage))
            _execute(run[NODE], arguments.executor_class_path, given, executor_input.own_spec(inputs_spec), beam)
            output = json.loads(output_file.read_text(encoding="utf-8"))
            mended = executor_input.mended_output(output, uris, staging.remote)
            task_lineage.add(mended, before, lineage, run[NODE], began)
            staging.publish()
        except BaseException:
            staging.fail()
            raise
        # The output file comes last: a task that is killed before has no output, and is run again.
        staging.write(json.dumps(mended), output_place)


def _execute(node: str, class_path: str, given: dict[str, Any], inputs_spec: dict[str, Any], beam: list[str]) -> None:
    """Run the executor by TFX's entry point. Raises: TwostepError, which names the node in place of another error."""
    import core.tf  # noqa: F401 - Keras 2, before TFX imports TensorFlow

    from core import garbage

    with garbage.postponed():
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as entry_point

    from pipeline.runners.failures import explained

    sys.argv = sys.argv[:1]  # the Beam executors of TFX would parse the arguments as flags of absl
    arguments = argparse.Namespace(
        executor_class_path=class_path,
        json_serialized_invocation_args=json.dumps(given),
        json_serialized_inputs_spec_args=json.dumps(inputs_spec),
    )
    try:
        entry_point._run_executor(arguments, beam)
    except Exception as error:
        traceback.print_exc()  # the log of the container is all that remains of a task
        raise explained(node, error, "The traceback is in the log of the task") from error


if __name__ == "__main__":
    sys.exit(main())
