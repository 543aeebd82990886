"""A pipeline of three nodes: Left and Right do not depend on each other, Both depends on them.

Left and Right wait for a file of the other one, so a run ends only if both run at the same time. The environment
variable FAULT selects how Right fails; Left then waits until it is ended.
"""

import os
import signal
import time
from pathlib import Path

from tfx import v1 as tfx

from core import progress
from core.errors import DataError

InputArtifact, OutputArtifact = tfx.dsl.components.InputArtifact, tfx.dsl.components.OutputArtifact
Examples = tfx.types.standard_artifacts.Examples


def meeting():
    return Path(os.environ["MEETING"])


def meet(own, other):
    (meeting() / own).write_text(str(os.getpid()))
    progress.report(f"{own} waits")
    while not (meeting() / other).exists():
        time.sleep(0.01)


@tfx.dsl.components.component
def Left(left: OutputArtifact[Examples]):  # noqa: N802
    meet("left", "right")
    Path(left.uri, "left").write_text("left")


@tfx.dsl.components.component
def Right(right: OutputArtifact[Examples]):  # noqa: N802
    fault = os.environ.get("FAULT", "")
    Path(right.uri, "half").write_text("half of the output")
    if fault:
        while not (meeting() / "left").exists():
            time.sleep(0.01)
    if fault == "data":
        raise DataError("a.csv", "row 3", "is empty", "Fill it")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "endless":
        (meeting() / "right-began").write_text(str(os.getpid()))
        time.sleep(600)
    meet("right", "left")
    Path(right.uri, "right").write_text("right")


@tfx.dsl.components.component
def Both(left: InputArtifact[Examples], right: InputArtifact[Examples], both: OutputArtifact[Examples]):  # noqa: N802
    Path(both.uri, "both").write_text(Path(left.uri, "left").read_text() + Path(right.uri, "right").read_text())


def build(folder):
    left, right = Left(), Right()
    both = Both(left=left.outputs["left"], right=right.outputs["right"])
    return tfx.dsl.Pipeline(
        pipeline_name="beside",
        pipeline_root=f"{folder}/pipeline",
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            f"{folder}/metadata.sqlite"
        ),
        components=[left, right, both],
        enable_cache=True,
    )
