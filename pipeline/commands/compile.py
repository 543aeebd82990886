"""`twostep compile`: write the specification of the pipeline for Kubeflow Pipelines or Vertex AI."""

import argparse
import tempfile
from pathlib import Path

from core import files, garbage
from core.printable import printable
from pipeline.commands.arguments import add_config


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `compile`."""
    parser = subparsers.add_parser(
        "compile",
        help="write the specification of the pipeline for Kubeflow Pipelines or Vertex AI",
        description="Write the specification of the pipeline for Kubeflow Pipelines or Vertex AI, as YAML. It needs no "
        "network. `twostep run CONFIG --compiled FILE` runs it on this machine, `twostep submit` on a cluster.",
    )
    add_config(parser)
    parser.add_argument("--to", choices=("kubeflow", "vertex"), required=True, help="where the specification runs")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the file to write. Default: <name>-<target>.yaml in this folder"
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the specification.

    Raises:
      UsageError: the configuration is wrong.
      SpecificationError: Kubeflow Pipelines would refuse the specification.
    """
    from pipeline import config
    from pipeline.runners import logs

    loaded = config.load(arguments.config)
    output = arguments.output or Path(f"{loaded.name}-{arguments.to}.yaml")
    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder, "log"), arguments.verbose):
        with garbage.postponed():
            from pipeline.runners.compiled import keys, specification, specification_file

        spec = specification.compile_(loaded, arguments.config, arguments.to)
    with files.replacing(output) as partial:
        partial.write_text(specification_file.write(spec, keys.platform(loaded, spec)), encoding="utf-8")
    tasks, parameters = spec["root"]["dag"]["tasks"], spec["root"]["inputDefinitions"]["parameters"]
    if loaded.beam.runner != "local":
        on_engine = specification.nodes_on_engine(loaded)
        print(f"beam.runner {loaded.beam.runner}: {', '.join(on_engine)}; all other nodes run in their container")
    print(f"{printable(output)}: {len(tasks)} tasks; parameters {', '.join(sorted(parameters))}")
    return 0
