"""The DAG as a specification of Kubeflow Pipelines, version 2.1: YAML that Kubeflow Pipelines and Vertex AI run.

The specification holds no resolver and no hook of a driver: its nodes are those of a run on one machine, the release in
force is found by a node, and spans are chosen in the tasks. TFX writes the specification; here it gets its runtime
parameters, resources and caching, and is checked.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from pathlib import Path
from typing import Any, Literal

from tfx import v1 as tfx
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from components.table_example_gen.sources import TableSource
from core import node_ids
from core.errors import UsageError
from core.storage import uris
from pipeline.config import Config, paths
from pipeline.config.beam import LOCAL
from pipeline.config.data import is_dated, location_json
from pipeline.dag.nodes import Places, nodes
from pipeline.runners.compiled import keys, rules
from pipeline.runners.compiled.parameters import (
    DATA,
    FINGERPRINT,
    IMAGE,
    KEYS,
    NODE,
    PREFIX,
    RELEASES,
    SCHEMA,
    SEED,
    SERVING,
    SIGNING_KEY,
    SPANS,
    TABLES,
    TRUSTED_KEYS,
    UNKNOWN,
    needed,
    with_texts,
)

Target = Literal["kubeflow", "vertex"]
TASK_MODULE = "pipeline.runners.compiled.task"
_INPUT_BASE = "input_base"
_INPUTS_SPEC = "--json_serialized_inputs_spec_args"  # the last argument of a container before those of Beam


def compile_(config: Config, config_file: Path, target: Target) -> dict[str, Any]:
    """Return the specification of the pipeline as a dictionary.

    Raises:
      UsageError: the configuration names no place for the files of a compiled pipeline, or a setting that such a
        pipeline cannot follow.
      SpecificationError: Kubeflow Pipelines would refuse the specification.
    """
    root = config.cluster.root
    if root is None:
        raise UsageError(
            "cluster.root: a compiled pipeline keeps its files in a bucket; set it to a URI such as s3://bucket/"
            + config.name
        )
    if config.training.machines:
        raise UsageError(
            "training.machines: a compiled pipeline has one container for each trainer, and they share no folder with "
            "other machines. Remove it, and give the trainers GPUs: `training.gpus`, and `resources.RetrievalTrainer` "
            "and `resources.RankingTrainer` with as many `accelerators`"
        )
    _check_gpus(config)
    signing_key = keys.key_file(config, target)
    trusted = {f"trusted-key-{number}.pem": file for number, file in enumerate(paths.trusted_keys(config, config_file))}
    schemas = paths.schema_files(config, config_file)
    defaults: dict[str, Any] = {
        SEED: config.seed,
        DATA: config.cluster.data or _uri(config.data.root) or f"{root}/data",
        IMAGE: config.cluster.image,
        RELEASES: _uri(config.release.folder) or f"{root}/releases",
        SERVING: f"{root}/serving",
    }
    if signing_key:
        defaults[KEYS] = signing_key.rpartition("/")[0]
    if any(map(is_dated, config.data.paths.values())):
        defaults[SPANS] = config.data.spans.canonical_json()
    places = Places(
        tables={table: TableSource(defaults[DATA], (path,)) for table, path in config.data.paths.items()},
        releases=defaults[RELEASES],
        serving=defaults[SERVING],
        schemas={table: file.name for table, file in schemas.items()},
        signing_key=signing_key,
        trusted_keys=tuple(trusted),
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=f"{root}/pipeline",
        components=nodes(config, places),
        enable_cache=True,
        beam_pipeline_args=config.beam.arguments(config_file.absolute().parent),
    )
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=f"{{{{$.inputs.parameters['{PREFIX}{IMAGE}']}}}}",
            default_commands=["python", "-m", TASK_MODULE, "--target", target],
            use_pipeline_spec_2_1=True,
        )
    )
    spec = runner.run(pipeline, write_out=False)["pipelineSpec"]
    spec["defaultPipelineRoot"] = f"{root}/pipeline"
    for name in spec["root"]["dag"]["tasks"]:
        _add_constant(spec, name, NODE, name)
    _keep_in_container(spec, config)
    defaults |= _add_tables(spec, config)
    _add_schemas(spec, schemas)
    _add_keys(spec, signing_key, trusted)
    _remove_hooks(spec)
    _set_caching(spec)
    _add_runtime_parameters(spec, defaults)
    _add_resources(spec, config)
    _make_integers(spec)
    rules.check(spec)
    return spec


def _check_gpus(config: Config) -> None:
    """Check that the trainers' containers get the GPUs that they train on. Raises: UsageError."""
    for node in map(node_ids.trainer, ("retrieval", "ranking")):
        given = config.resources[node].number_of_accelerators if node in config.resources else 0
        if given < config.training.gpus:
            raise UsageError(
                f"resources.{node}: should have at least {config.training.gpus} `accelerators`, as `training.gpus` "
                f"says; found {given}"
            )


def _uri(place: str | None) -> str | None:
    """Return a place if it is a URI, which a task can reach; else None."""
    return place if place is not None and uris.is_uri(place) else None


def nodes_on_engine(config: Config) -> list[str]:
    """Return the nodes whose Beam steps run on the configured engine, and which read and write URIs if it is not local.

    RankingEvaluator also uses Beam. It runs it in its container, since TFX and TFMA open the model and the results with
    TensorFlow's file systems, which know no `s3://`.
    """
    of_tables = [of(table) for table in config.data.tables for of in (node_ids.example_gen, node_ids.statistics_gen)]
    return [*of_tables, node_ids.EVENT_JOINER]


def _keep_in_container(spec: dict[str, Any], config: Config) -> None:
    """Give the nodes that do not run on the configured engine no arguments of it: TFX gives them to all."""
    if config.beam.runner == "local":
        return
    for node in spec["root"]["dag"]["tasks"].keys() - set(nodes_on_engine(config)):
        component = spec["components"][spec["root"]["dag"]["tasks"][node]["componentRef"]["name"]]
        arguments = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["args"]
        arguments[arguments.index(_INPUTS_SPEC) + 2 :] = LOCAL


def _add_tables(spec: dict[str, Any], config: Config) -> dict[str, str]:
    """Give each node that reads a table the locations of all tables, from which its task chooses the files.

    Returns:
      The runtime parameters with the fingerprints of the tables, and their defaults.
    """
    locations = {table: location_json(each) for table, each in config.data.locations.items()}
    defaults = {}
    for table in config.data.tables:
        node = node_ids.example_gen(table)
        _add_constant(spec, node, TABLES, json.dumps({table: locations}))
        _declare(spec, node, PREFIX + FINGERPRINT, "STRING")
        source = {"componentInputParameter": f"{node}-{FINGERPRINT}"}
        spec["root"]["dag"]["tasks"][node]["inputs"]["parameters"][PREFIX + FINGERPRINT] = source
        defaults[f"{node}-{FINGERPRINT}"] = UNKNOWN
    return defaults


def _add_schemas(spec: dict[str, Any], schemas: dict[str, Path]) -> None:
    """Give each node that imports a schema its content, since the cluster does not have the file."""
    for table, file in schemas.items():
        _add_constant(spec, node_ids.schema_gen(table), SCHEMA, file.read_text(encoding="utf-8"))


def _add_keys(spec: dict[str, Any], signing_key: str, trusted: dict[str, Path]) -> None:
    """Give tasks the name of the private key, and the content of the public keys that their settings name."""
    if signing_key:
        for name in keys.TASKS:
            _add_constant(spec, name, SIGNING_KEY, signing_key.rpartition("/")[2])
    texts = {name: file.read_text(encoding="utf-8") for name, file in trusted.items()}
    for name, task in spec["root"]["dag"]["tasks"].items():
        constants = _constants(task["inputs"]["parameters"])
        if texts and (name in keys.TASKS or with_texts(constants, texts) != constants):
            _add_constant(spec, name, TRUSTED_KEYS, json.dumps(texts))


def _remove_hooks(spec: dict[str, Any]) -> None:
    """Remove the driver that TFX would run before the cache check: the tasks choose their files themselves."""
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"].pop("lifecycle", None)


def _set_caching(spec: dict[str, Any]) -> None:
    """Cache no node that reads or writes a place that is no artifact, since a cache key does not see its content.

    `pipeline.submit.fingerprints` lets tables be cached.
    """
    for task in spec["root"]["dag"]["tasks"].values():
        given = task.get("inputs", {}).get("parameters", {})
        constants = _constants(given)
        if _INPUT_BASE in constants or {RELEASES, SERVING} & ({*constants} | needed(constants)):
            task["cachingOptions"] = {}


def _add_runtime_parameters(spec: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Declare the runtime parameters with their defaults, and give each task those that it needs."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        given = task.setdefault("inputs", {}).setdefault("parameters", {})
        constants = _constants(given)
        if _INPUT_BASE in given:
            given[_INPUT_BASE] = {"componentInputParameter": DATA}
            wanted = {SPANS} & defaults.keys()
        else:
            wanted = needed(constants) | ({KEYS} if PREFIX + SIGNING_KEY in constants else set())
        if RELEASES in given:
            given[RELEASES] = {"componentInputParameter": RELEASES}
        for parameter in sorted({IMAGE, *wanted}):
            kind = "NUMBER_INTEGER" if parameter == SEED else "STRING"
            _declare(spec, name, PREFIX + parameter, kind)
            given[PREFIX + parameter] = {"componentInputParameter": parameter}
    spec["root"]["inputDefinitions"] = {
        "parameters": {
            name: {"parameterType": "NUMBER_INTEGER" if name == SEED else "STRING", "defaultValue": value}
            for name, value in defaults.items()
        }
    }


def _add_resources(spec: dict[str, Any], config: Config) -> None:
    """Set the cores, memory and accelerators of the containers; cores and memory are runtime parameters."""
    root = spec["root"]["inputDefinitions"]["parameters"]
    for node, resources in config.resources.items():
        task = spec["root"]["dag"]["tasks"].get(node)
        if task is None:  # a node that this configuration does not have
            continue
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        limits: dict[str, Any] = {}
        for name, number, text in (
            ("cpu", resources.cpu, f"{resources.cpu:g}" if resources.cpu else ""),
            ("memory", resources.memory_gb, f"{resources.memory_gb:g}G" if resources.memory_gb else ""),
        ):
            if number is None:
                continue
            parameter, title = f"{node}-{name}", name.title()
            root[parameter] = {"parameterType": "STRING", "defaultValue": text}
            _declare(spec, node, PREFIX + name, "STRING")
            task["inputs"]["parameters"][PREFIX + name] = {"componentInputParameter": parameter}
            placeholder = f"{{{{$.inputs.parameters['{PREFIX}{name}']}}}}"
            limits |= {
                f"{name}Limit": number,
                f"resource{title}Limit": placeholder,
                f"resource{title}Request": placeholder,
            }
        if resources.accelerator is not None:
            count = resources.number_of_accelerators
            limits["accelerator"] = {
                "type": resources.accelerator, "count": str(count),
                "resourceType": resources.accelerator, "resourceCount": str(count),
            }  # fmt: skip
        if limits:
            container["resources"] = limits


def _make_integers(spec: dict[str, Any]) -> None:
    """Write whole constants as integers, since TFX writes all numbers as floating-point numbers."""
    for task in spec["root"]["dag"]["tasks"].values():
        kinds = spec["components"][task["componentRef"]["name"]]["inputDefinitions"]["parameters"]
        for name, source in task["inputs"]["parameters"].items():
            if kinds[name]["parameterType"] == "NUMBER_INTEGER" and "runtimeValue" in source:
                source["runtimeValue"]["constant"] = int(source["runtimeValue"]["constant"])


def _constants(given: dict[str, Any]) -> dict[str, Any]:
    """Return the constants among the parameters of a task."""
    return {name: source["runtimeValue"]["constant"] for name, source in given.items() if "runtimeValue" in source}


def _add_constant(spec: dict[str, Any], task: str, name: str, value: str) -> None:
    """Give a task one more constant, with the prefix of runtime parameters."""
    _declare(spec, task, PREFIX + name, "STRING")
    given = spec["root"]["dag"]["tasks"][task].setdefault("inputs", {}).setdefault("parameters", {})
    given[PREFIX + name] = {"runtimeValue": {"constant": value}}


def _declare(spec: dict[str, Any], task: str, name: str, kind: str) -> None:
    """Declare one more parameter of the component of a task, and in the arguments of its container."""
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    definitions = component.setdefault("inputDefinitions", {})
    definitions.setdefault("parameters", {})[name] = {"parameterType": kind}
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    place = container["args"].index(_INPUTS_SPEC) + 1
    container["args"][place] = json.dumps(definitions, sort_keys=True)
