"""A local server that speaks the REST API of Vertex AI Pipelines with its message types, and keeps state.

It also answers whether a bucket of Cloud Storage exists.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

from google.cloud import aiplatform_v1 as api
from json_server import JsonServer, RefusedError, Request

PARENT = r"/v1/(projects/[^/]+/locations/[^/]+)"
_SCHEDULE = PARENT[:-1] + r"/schedules/[^/:]+)"


def dumped(message: Any) -> Any:
    """Return a message as the values of its JSON."""
    return json.loads(type(message).to_json(message, use_integers_for_enums=True))


def parsed(kind: Any, body: bytes) -> Any:
    """Return a message of the API. Raises: RefusedError for a field that the message does not have."""
    try:
        return kind.from_json(body.decode())
    except Exception as error:
        raise RefusedError(400, f"Invalid JSON payload received: {error}") from None


class VertexApi(JsonServer):
    """Vertex AI Pipelines.

    Attributes:
      project, location, bucket: those that exist.
      steps: the states that a run has, one at each request for it: its state, and the details of its tasks.
      jobs, schedules: resource name → message.
    """

    ROUTES = (
        ("POST", PARENT + "/pipelineJobs", "create_job"),
        ("GET", PARENT[:-1] + r"/pipelineJobs/[^/]+)", "get_job"),
        ("GET", PARENT + "/schedules", "list_schedules"),
        ("POST", PARENT + "/schedules", "create_schedule"),
        ("POST", _SCHEDULE + ":pause", "pause"),
        ("POST", _SCHEDULE + ":resume", "resume"),
        ("DELETE", _SCHEDULE, "delete"),
        ("GET", _SCHEDULE, "get_schedule"),
        ("GET", "/storage/v1/b/([^/]+)/iam/testPermissions", "permissions"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.project, self.location, self.bucket = "my-project", "europe-west4", "artifacts"
        state, task = api.PipelineState, api.PipelineTaskDetail.State
        self.steps: list[tuple[int, list[api.PipelineTaskDetail]]] = [
            (state.PIPELINE_STATE_PENDING, []),
            (state.PIPELINE_STATE_RUNNING, [detail("train", task.RUNNING)]),
            (state.PIPELINE_STATE_SUCCEEDED, [detail("train", task.SUCCEEDED)]),
        ]
        self.jobs: dict[str, api.PipelineJob] = {}
        self.schedules: dict[str, api.Schedule] = {}
        self.page = 2  # the largest page, small so that a test has several
        self._deleting: dict[str, api.Schedule] = {}
        self._asked: dict[str, int] = {}
        self._count = 0

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": "STATUS"}}

    def create_job(self, request: Request) -> Any:
        job = parsed(api.PipelineJob, request.body)
        self._check(request.parts[0], job)
        job_id = request.query["pipelineJobId"]
        if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", job_id):
            raise RefusedError(400, f"pipeline_job_id: {job_id}")
        job.name = f"{request.parts[0]}/pipelineJobs/{job_id}"
        if job.name in self.jobs:
            raise RefusedError(409, f"{job.name} exists")
        self.jobs[job.name] = job
        return dumped(job)

    def get_job(self, request: Request) -> Any:
        job = self._known(self.jobs, request.parts[0])
        step = min(self._asked.get(job.name, 0), len(self.steps) - 1)
        self._asked[job.name] = step + 1
        job.state, tasks = self.steps[step]
        root = api.PipelineTaskDetail(task_id=1, task_name=job.display_name)
        job.job_detail = api.PipelineJobDetail(task_details=[root, *tasks])
        return dumped(job)

    def list_schedules(self, request: Request) -> Any:
        self._check_parent(request.parts[0])
        name = re.fullmatch('display_name="(.*)"', request.query["filter"]).group(1)
        found = [each for each in self.schedules.values() if each.display_name == name]
        found.sort(key=lambda each: each.create_time, reverse=True)
        start = int(request.query.get("pageToken") or 0)
        end = start + self.page
        token = str(end) if end < len(found) else ""
        return dumped(api.ListSchedulesResponse(schedules=found[start:end], next_page_token=token))

    def create_schedule(self, request: Request) -> Any:
        schedule = parsed(api.Schedule, request.body)
        wanted = schedule.create_pipeline_job_request
        if wanted.parent != request.parts[0] or not schedule.max_concurrent_run_count:
            raise RefusedError(400, "parent and max_concurrent_run_count are required")
        self._check(request.parts[0], wanted.pipeline_job)
        if not re.fullmatch(r"(TZ=\S+ )?(\S+ ){4}\S+", schedule.cron):
            raise RefusedError(400, f"cron: {schedule.cron}")
        schedule.name = f"{request.parts[0]}/schedules/{self._next()}"
        schedule.state, schedule.create_time = api.Schedule.State.ACTIVE, datetime.now(UTC)
        self.schedules[schedule.name] = schedule
        return dumped(schedule)

    def pause(self, request: Request) -> Any:
        self._known(self.schedules, request.parts[0]).state = api.Schedule.State.PAUSED
        return {}

    def resume(self, request: Request) -> Any:
        if json.loads(request.body or b"{}").get("catchUp"):
            raise RefusedError(400, "catch up is not expected")
        self._known(self.schedules, request.parts[0]).state = api.Schedule.State.ACTIVE
        return {}

    def delete(self, request: Request) -> Any:
        self._known(self.schedules, request.parts[0])
        self._deleting[request.parts[0]] = self.schedules.pop(request.parts[0])
        return {"name": f"projects/{self.project}/locations/{self.location}/operations/{self._next()}", "done": False}

    def get_schedule(self, request: Request) -> Any:
        """Answer for a schedule; one that is being deleted is there once more."""
        deleting = self._deleting.pop(request.parts[0], None)
        return dumped(deleting or self._known(self.schedules, request.parts[0]))

    def permissions(self, request: Request) -> Any:
        if request.parts[0] != self.bucket:
            raise RefusedError(404, "The specified bucket does not exist.")
        return {"kind": "storage#testIamPermissionsResponse", "permissions": [request.query["permissions"]]}

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _check_parent(self, parent: str) -> None:
        if parent.split("/")[1] != self.project:
            raise RefusedError(403, f"Permission denied on resource project {parent.split('/')[1]}.")
        if parent.split("/")[3] != self.location:
            raise RefusedError(404, f"The location {parent.split('/')[3]} is not served here.")

    def _check(self, parent: str, job: Any) -> None:
        """Check a job as the server does: the root is in Cloud Storage, and each parameter is known and given."""
        self._check_parent(parent)
        specification = dumped(job)["pipelineSpec"]
        inputs = specification["root"].get("inputDefinitions", {}).get("parameters", {})
        given = set(job.runtime_config.parameter_values)
        lacking = [name for name, each in inputs.items() if "defaultValue" not in each and name not in given]
        if lacking or given - inputs.keys() or not job.runtime_config.gcs_output_directory.startswith("gs://"):
            raise RefusedError(400, f"runtime_config: lacks {lacking}, unknown {sorted(given - inputs.keys())}")

    def _known(self, kind: dict[str, Any], name: str) -> Any:
        if name not in kind:
            raise RefusedError(404, f"{name} not found")
        return kind[name]


def detail(name: str, state: int, error: str = "", **artifacts: dict[str, Any]) -> api.PipelineTaskDetail:
    """Return the details of a task; `artifacts` is output → the metadata of its artifact."""
    outputs = {
        key: api.PipelineTaskDetail.ArtifactList(artifacts=[api.Artifact(metadata=metadata)])
        for key, metadata in artifacts.items()
    }
    failure = {"code": 2, "message": error} if error else None
    return api.PipelineTaskDetail(
        task_id=2, parent_task_id=1, task_name=name, state=state, error=failure, outputs=outputs
    )
