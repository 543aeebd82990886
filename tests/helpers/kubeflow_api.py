"""A local server that speaks the API of Kubeflow Pipelines 2 with its message types, and keeps state."""

import json
import re
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import kfp_server_api as api
import yaml
from google.protobuf import json_format
from json_server import JsonServer, RefusedError, Request
from kfp.pipeline_spec import pipeline_spec_pb2

V2 = "/apis/v2beta1"
_CLIENT = api.ApiClient(api.Configuration(host="http://unused"))


class _Body:
    def __init__(self, data: str):
        self.data = data


def parsed(body: bytes, kind: str) -> Any:
    """Return a message of the API. Raises: RefusedError for a field that the message does not have."""
    message = _CLIENT.deserialize(_Body(body.decode()), kind)
    unknown = json.loads(body).keys() - dumped(message).keys()
    if unknown:
        raise RefusedError(400, f"unknown fields in {kind}: {sorted(unknown)}")
    return message


def dumped(message: Any) -> Any:
    """Return a message as the values of its JSON."""
    return _CLIENT.sanitize_for_serialization(message)


class KubeflowApi(JsonServer):
    """Kubeflow Pipelines.

    Attributes:
      multi_user: whether requests need a namespace.
      steps: the states that a run has, one at each request for it: its state, and task → state.
      runs, recurring: id → message.
      versions: the uploaded versions, by id.
      platforms: the further documents of each uploaded version, by its id.
    """

    ROUTES = (
        ("GET", f"{V2}/healthz", "healthz"),
        ("GET", f"{V2}/experiments", "list_experiments"),
        ("POST", f"{V2}/experiments", "create_experiment"),
        ("GET", f"{V2}/pipelines", "list_pipelines"),
        ("POST", f"{V2}/pipelines", "create_pipeline"),
        ("POST", f"{V2}/pipelines/upload_version", "upload_version"),
        ("GET", f"{V2}/pipelines/([^/]+)/versions", "list_versions"),
        ("POST", f"{V2}/runs", "create_run"),
        ("GET", f"{V2}/runs/([^/]+)", "get_run"),
        ("GET", f"{V2}/recurringruns", "list_recurring"),
        ("POST", f"{V2}/recurringruns", "create_recurring"),
        ("POST", f"{V2}/recurringruns/([^/:]+):enable", "enable"),
        ("POST", f"{V2}/recurringruns/([^/:]+):disable", "disable"),
        ("DELETE", f"{V2}/recurringruns/([^/]+)", "delete_recurring"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.multi_user = False
        self.steps: list[tuple[str, dict[str, str]]] = [
            ("PENDING", {}),
            ("RUNNING", {"train": "RUNNING"}),
            ("SUCCEEDED", {"train": "SUCCEEDED"}),
        ]
        self.error_message = "out of memory"
        self.experiments: dict[str, api.V2beta1Experiment] = {}
        self.pipelines: dict[str, api.V2beta1Pipeline] = {}
        self.versions: dict[str, api.V2beta1PipelineVersion] = {}
        self.platforms: dict[str, list[Any]] = {}
        self.runs: dict[str, api.V2beta1Run] = {}
        self.recurring: dict[str, api.V2beta1RecurringRun] = {}
        self.page = 2  # the largest page, small so that a test has several
        self._asked: dict[str, int] = {}
        self._count = 0

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def healthz(self, request: Request) -> Any:
        return dumped(api.V2beta1GetHealthzResponse(multi_user=self.multi_user))

    def list_experiments(self, request: Request) -> Any:
        self._check_namespace(request.query.get("namespace"))
        found = _filtered(self.experiments.values(), request)
        return dumped(api.V2beta1ListExperimentsResponse(experiments=found))

    def create_experiment(self, request: Request) -> Any:
        wanted = parsed(request.body, "V2beta1Experiment")
        self._check_namespace(wanted.namespace)
        wanted.experiment_id = self._id("experiment")
        self.experiments[wanted.experiment_id] = wanted
        return dumped(wanted)

    def list_pipelines(self, request: Request) -> Any:
        return dumped(api.V2beta1ListPipelinesResponse(pipelines=_filtered(self.pipelines.values(), request)))

    def create_pipeline(self, request: Request) -> Any:
        wanted = parsed(request.body, "V2beta1Pipeline")
        if any(each.display_name == wanted.display_name for each in self.pipelines.values()):
            raise RefusedError(409, f"the name {wanted.display_name} is taken")
        wanted.pipeline_id = self._id("pipeline")
        self.pipelines[wanted.pipeline_id] = wanted
        return dumped(wanted)

    def upload_version(self, request: Request) -> Any:
        specification, *platform = yaml.safe_load_all(_uploaded(request.body))
        try:
            json_format.ParseDict(specification, pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise RefusedError(400, f"invalid specification: {error}") from None
        pipeline, name = request.query["pipelineid"], request.query["name"]
        if any(each.pipeline_id == pipeline and each.display_name == name for each in self.versions.values()):
            raise RefusedError(409, f"the version {name} exists")
        version = api.V2beta1PipelineVersion(
            pipeline_id=pipeline,
            pipeline_version_id=self._id("version"),
            display_name=name,
            pipeline_spec=specification,
        )
        self.versions[version.pipeline_version_id] = version
        self.platforms[version.pipeline_version_id] = platform
        return dumped(version)

    def list_versions(self, request: Request) -> Any:
        of_pipeline = [each for each in self.versions.values() if each.pipeline_id == request.parts[0]]
        found = _filtered(of_pipeline, request)
        return dumped(api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found))

    def create_run(self, request: Request) -> Any:
        run = parsed(request.body, "V2beta1Run")
        self._check_content(run)
        run.run_id, run.created_at = self._id("run"), datetime.now(UTC)
        self.runs[run.run_id] = run
        return dumped(run)

    def get_run(self, request: Request) -> Any:
        run = self._known(self.runs, request.parts[0])
        step = min(self._asked.get(run.run_id, 0), len(self.steps) - 1)
        self._asked[run.run_id] = step + 1
        run.state, tasks = self.steps[step]
        error = api.GoogleRpcStatus(code=2, message=self.error_message)
        entries = {"root": "RUNNING", "root-driver": "SUCCEEDED"}
        for task, state in tasks.items():
            entries |= {f"{task}-driver": "SUCCEEDED", task: state}
        run.run_details = api.V2beta1RunDetails(
            task_details=[
                api.V2beta1PipelineTaskDetail(
                    run_id=run.run_id,
                    task_id=name,
                    display_name=name,
                    state=state,
                    error=error if state == "FAILED" else None,
                )
                for name, state in entries.items()
            ]
        )
        return dumped(run)

    def list_recurring(self, request: Request) -> Any:
        self._check_namespace(request.query.get("namespace"))
        found = sorted(_filtered(self.recurring.values(), request), key=lambda each: each.created_at, reverse=True)
        start = int(request.query.get("page_token") or 0)
        end = start + min(self.page, int(request.query.get("page_size") or 10))
        return dumped(
            api.V2beta1ListRecurringRunsResponse(
                recurring_runs=found[start:end], next_page_token=str(end) if end < len(found) else ""
            )
        )

    def create_recurring(self, request: Request) -> Any:
        wanted = parsed(request.body, "V2beta1RecurringRun")
        self._check_content(wanted)
        cron = wanted.trigger.cron_schedule.cron
        if len(cron.split()) != 6 or not re.fullmatch(r"[\d*/,?A-Za-z -]+", cron):
            raise RefusedError(400, f"Schedule cron is not a valid one: {cron}")
        wanted.recurring_run_id, wanted.created_at = self._id("recurring"), datetime.now(UTC)
        wanted.status = "ENABLED" if wanted.mode == "ENABLE" else "DISABLED"
        self.recurring[wanted.recurring_run_id] = wanted
        return dumped(wanted)

    def enable(self, request: Request) -> Any:
        self._known(self.recurring, request.parts[0]).status = "ENABLED"
        return {}

    def disable(self, request: Request) -> Any:
        self._known(self.recurring, request.parts[0]).status = "DISABLED"
        return {}

    def delete_recurring(self, request: Request) -> Any:
        self._known(self.recurring, request.parts[0])
        del self.recurring[request.parts[0]]
        return {}

    def _check_content(self, wanted: Any) -> None:
        """Check a run or a recurring run as the server does: ids exist, and each parameter is known and given."""
        self._known(self.experiments, wanted.experiment_id)
        reference = wanted.pipeline_version_reference
        version = self._known(self.versions, reference.pipeline_version_id)
        inputs = version.pipeline_spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = wanted.runtime_config.parameters or {}
        lacking = [name for name, each in inputs.items() if "defaultValue" not in each and name not in given]
        if lacking or given.keys() - inputs.keys():
            raise RefusedError(400, f"parameters: lacks {lacking}, unknown {sorted(given.keys() - inputs.keys())}")

    def _check_namespace(self, namespace: str | None) -> None:
        if self.multi_user and not namespace:
            raise RefusedError(400, "Invalid input error: in multi-user mode, a namespace is required")

    def _known(self, kind: dict[str, Any], id_: str) -> Any:
        if id_ not in kind:
            raise RefusedError(404, f"{id_} not found")
        return kind[id_]


def _filtered(found: Any, request: Request) -> list[Any]:
    """Return what matches the filter of a request, whose only predicate is equality of the display name."""
    if "filter" not in request.query:
        return list(found)
    (predicate,) = json.loads(request.query["filter"])["predicates"]
    if predicate["operation"] not in ("EQUALS", 1) or predicate["key"] != "display_name":
        raise RefusedError(400, f"the filter {predicate} is not supported")
    return [each for each in found if each.display_name == predicate["stringValue"]]


def _uploaded(body: bytes) -> bytes:
    """Return the content of the file in a multipart body."""
    boundary = body.partition(b"\r\n")[0].removeprefix(b"--")
    head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    (part,) = message_from_bytes(head + body).get_payload()
    return part.get_payload(decode=True)
