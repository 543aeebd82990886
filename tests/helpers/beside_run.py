"""A run of the pipeline `beside` with two workers, in a process that the tests fork."""

import json
import os
from pathlib import Path


def run(folder: Path, fault: str) -> None:
    """Run the pipeline in `folder`, and write the error and the states of the nodes to `answer.json`."""
    os.environ |= {"FAULT": fault, "MEETING": str(folder / "meeting")}
    import beside
    from rich.console import Console

    from core.errors import TwostepError
    from pipeline.commands.run import terminable
    from pipeline.runners import local, workers
    from pipeline.runners.logs import captured
    from pipeline.runners.progress import Progress

    with captured(folder / "run.log") as terminal:
        reporter, error = Progress(Console(file=terminal)), None
        with terminable() as raise_if_stopped, workers.forked(2) as pool:
            try:
                local.run(beside.build(folder), reporter, raise_if_stopped=raise_if_stopped, workers=pool)
            except (TwostepError, KeyboardInterrupt) as caught:
                error = [type(caught).__name__, str(caught), getattr(caught, "exit_code", 0)]
    nodes = [[each.node, each.state] for each in reporter.results]
    (folder / "answer.json").write_text(json.dumps({"error": error, "nodes": nodes}))
    os._exit(0)  # Beam's threads would delay a normal exit
