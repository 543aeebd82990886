"""Vertex AI Pipelines as a target, by Google's client of the API, over REST."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud import aiplatform_v1 as api

from core import node_ids
from core.errors import UsageError
from core.printable import one_line
from pipeline.submit import vertex_client
from pipeline.submit.job import Job
from pipeline.submit.settings import Vertex
from pipeline.submit.target import Phase, Run, RunState, Schedule
from pipeline.submit.vertex_client import LIMITS, translated

_LABEL = "twostep-digest"
_LABEL_LENGTH = 63  # the maximum of Google Cloud, in characters
_JOB_ID_LENGTH = 128
_PHASES: dict[str, Phase] = {
    "PIPELINE_STATE_QUEUED": "waiting",
    "PIPELINE_STATE_PENDING": "waiting",
    "PIPELINE_STATE_PAUSED": "waiting",
    "PIPELINE_STATE_RUNNING": "running",
    "PIPELINE_STATE_CANCELLING": "running",
    "PIPELINE_STATE_SUCCEEDED": "succeeded",
    "PIPELINE_STATE_FAILED": "failed",
    "PIPELINE_STATE_CANCELLED": "cancelled",
}
_TASK_PHASES: dict[str, Phase] = {
    "RUNNING": "running",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "NOT_TRIGGERED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}


class VertexTarget:
    """Vertex AI Pipelines; see `pipeline.submit.target.Target`.

    Args:
      settings: the settings `submit.vertex`.
      folder: the folder that the files in the settings are relative to.

    Raises:
      UsageError: the file of the token is missing.
      SubmissionError: there are no credentials.
    """

    def __init__(self, settings: Vertex, folder: Path):
        self._settings = settings
        self._parent = f"projects/{settings.project}/locations/{settings.location}"
        self._console = f"https://console.cloud.google.com/vertex-ai/locations/{settings.location}/pipelines"
        with translated(settings):
            self._credentials = vertex_client.credentials(settings, folder)
            self._jobs, self._schedules = vertex_client.clients(settings, self._credentials)

    def submit(self, job: Job) -> Run:
        """Check the bucket and start a run."""
        content = self._content(job)
        job_id = f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
        name = job.name if job.name[0].isalpha() else f"twostep-{job.name}"
        job_id = f"{name[: _JOB_ID_LENGTH - len(job_id) - 1]}-{job_id}"
        with translated(self._settings):
            created = self._jobs.create_pipeline_job(
                parent=self._parent, pipeline_job=content, pipeline_job_id=job_id, **LIMITS
            )
        return Run(created.name, self._link("runs", created.name))

    def state(self, run: Run) -> RunState:
        """Return the state of a run, and the reason if ReleasePusher released nothing."""
        with translated(self._settings):
            found = self._jobs.get_pipeline_job(name=run.id, **LIMITS)
        details = [each for each in found.job_detail.task_details if each.parent_task_id]
        tasks = {each.task_name: _TASK_PHASES.get(each.state.name, "waiting") for each in details}
        reasons = [
            ": ".join(filter(None, (each.task_name, each.error.message)))
            for each in details
            if tasks[each.task_name] == "failed"
        ]
        error = "\n".join(reasons) or found.error.message
        return RunState(_PHASES.get(found.state.name, "waiting"), tasks, error, _held_back(details))

    def digest(self, job: Job, cron: str) -> str:
        """Return the digest of the schedule of a job, as long as a label may be."""
        return job.schedule_digest(cron, self._settings.canonical_json())[:_LABEL_LENGTH]

    def schedules(self, name: str) -> list[Schedule]:
        """Return the schedules of a name, the newest first; completed ones start no run and are left out."""
        request = api.ListSchedulesRequest(
            parent=self._parent, filter=f'display_name="{name}"', order_by="create_time desc"
        )
        with translated(self._settings):
            found = list(self._schedules.list_schedules(request=request, **LIMITS))
        return [self._schedule(each) for each in found if each.state != api.Schedule.State.COMPLETED]

    def create_schedule(self, job: Job, cron: str, paused: bool) -> Schedule:
        """Check the bucket and create a schedule; Vertex creates it active, so it is paused in a second request."""
        content = self._content(job)
        content.labels = {_LABEL: self.digest(job, cron)}
        wanted = api.Schedule(
            display_name=job.name,
            cron=cron,
            max_concurrent_run_count=1,
            create_pipeline_job_request=api.CreatePipelineJobRequest(parent=self._parent, pipeline_job=content),
        )
        with translated(self._settings):
            created = self._schedule(self._schedules.create_schedule(parent=self._parent, schedule=wanted, **LIMITS))
        if not paused:
            return created
        self.pause(created)
        return replace(created, paused=True)

    def pause(self, schedule: Schedule) -> None:
        """Pause a schedule."""
        with translated(self._settings):
            self._schedules.pause_schedule(name=schedule.id, **LIMITS)

    def resume(self, schedule: Schedule) -> None:
        """Resume a schedule, without the runs that it missed."""
        request = api.ResumeScheduleRequest(name=schedule.id, catch_up=False)
        with translated(self._settings):
            self._schedules.resume_schedule(request=request, **LIMITS)

    def delete(self, schedule: Schedule) -> None:
        """Delete a schedule and wait until it is gone."""
        with translated(self._settings):
            self._schedules.delete_schedule(name=schedule.id, **LIMITS)
            # Not the operation's own `result`, whose route over REST is not documented.
            vertex_client.wait_until_gone(lambda: self._schedules.get_schedule(name=schedule.id, **LIMITS))

    def _content(self, job: Job) -> api.PipelineJob:
        """Return what a run and the runs of a schedule share.

        Raises:
          UsageError: there is no root in Cloud Storage, or the specification mounts Secrets of Kubernetes.
        """
        if job.platform is not None:
            raise UsageError(
                "the specification mounts Secrets of Kubernetes, which Vertex AI does not have. Compile it with `--to "
                "vertex`"
            )
        root = self._settings.pipeline_root or str(job.specification.get("defaultPipelineRoot", ""))
        if not root.startswith("gs://"):
            raise UsageError(
                "submit.vertex.pipeline_root: is not set, and the specification has no default that begins with gs://; "
                f"found {one_line(root) or 'none'}. Set it to gs://bucket/folder"
            )
        vertex_client.check_bucket(root, self._settings, self._credentials)
        runtime: dict[str, Any] = {
            "gcs_output_directory": root,
            "parameter_values": job.parameters,
        }
        return api.PipelineJob(
            display_name=job.name,
            pipeline_spec=job.specification,
            runtime_config=api.PipelineJob.RuntimeConfig(**runtime),
            service_account=self._settings.service_account or "",
            network=self._settings.network or "",
        )

    def _schedule(self, found: api.Schedule) -> Schedule:
        digest = found.create_pipeline_job_request.pipeline_job.labels.get(_LABEL, "")
        paused = found.state == api.Schedule.State.PAUSED
        return Schedule(found.name, digest, paused, self._link("schedules", found.name))

    def _link(self, kind: str, name: str) -> str:
        return f"{self._console}/{kind}/{name.rpartition('/')[2]}?project={self._settings.project}"


def _held_back(details: list[api.PipelineTaskDetail]) -> str:
    """Return why ReleasePusher released nothing; empty if it released, has not ended, or is not in the pipeline."""
    for each in details:
        if each.task_name == node_ids.RELEASE_PUSHER and "release" in each.outputs:
            for artifact in each.outputs["release"].artifacts:
                if artifact.metadata.get("released") == 0:
                    return str(artifact.metadata.get("reason") or "a rule was not met")
    return ""
