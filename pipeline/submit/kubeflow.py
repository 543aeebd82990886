"""Kubeflow Pipelines 2 as a target, by the client that the project generates from its API.

`kfp.Client` wraps the same classes; it has no timeouts, prints to stdout and reads a file of the user's home.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import kfp_server_api as api

from core.errors import UsageError
from pipeline.submit import kubeflow_client, tokens
from pipeline.submit.job import Job
from pipeline.submit.kubeflow_client import translated
from pipeline.submit.settings import Kubeflow
from pipeline.submit.target import Phase, Run, RunState, Schedule

_DIGEST = "twostep digest "  # before the digest in the description of a recurring run
_PAGE = 100
_PHASES: dict[str, Phase] = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "RUNNING": "running",
    "CANCELING": "running",
    "PAUSED": "waiting",
    "PENDING": "waiting",
}


class KubeflowTarget:
    """Kubeflow Pipelines; see `pipeline.submit.target.Target`.

    Args:
      settings: the settings `submit.kubeflow`.
      folder: the folder that the files in the settings are relative to.

    Raises:
      UsageError: a file is missing.
      SubmissionError: the host does not answer as Kubeflow Pipelines 2 does, or refuses the token.
    """

    def __init__(self, settings: Kubeflow, folder: Path):
        token_file = None if settings.token_file is None else folder / settings.token_file
        ca_file = None if settings.ca_file is None else folder / settings.ca_file
        if ca_file is not None and not ca_file.is_file():
            raise UsageError(f"submit.kubeflow.ca_file: {ca_file} is not a file. Save the certificates (PEM) there")
        self._settings = settings
        self._client = kubeflow_client.Client(settings.host, tokens.of_kubeflow(token_file), ca_file)
        with translated(settings):
            kubeflow_client.check_version(self._client, settings)
        self._runs = api.RunServiceApi(self._client)
        self._recurring = api.RecurringRunServiceApi(self._client)
        self._pipelines = api.PipelineServiceApi(self._client)

    def submit(self, job: Job) -> Run:
        """Upload the specification, unless it is there, and start a run of it."""
        with translated(self._settings):
            run = self._runs.run_service_create_run(
                api.V2beta1Run(
                    display_name=f"{job.name} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}",
                    description=f"specification {job.specification_digest}",
                    **self._content(job),
                )
            )
        return Run(run.run_id, f"{self._settings.host}/#/runs/details/{run.run_id}")

    def state(self, run: Run) -> RunState:
        """Return the state of a run; Kubeflow does not tell whether its release was held back."""
        with translated(self._settings):
            found = self._runs.run_service_get_run(run.id)
        details = (found.run_details.task_details if found.run_details else None) or []
        tasks = {each.display_name: _phase(each.state) for each in details if _is_task(each)}
        failed = [each for each in details if _is_task(each) and _phase(each.state) == "failed"]
        reasons = [": ".join(filter(None, (each.display_name, _message(each.error)))) for each in failed]
        return RunState(_phase(found.state), tasks, "\n".join(reasons) or _message(found.error))

    def digest(self, job: Job, cron: str) -> str:
        """Return the digest of the schedule of a job."""
        return job.schedule_digest(cron, self._settings.canonical_json())

    def schedules(self, name: str) -> list[Schedule]:
        """Return the recurring runs of a name, the newest first."""
        with translated(self._settings):
            found = list(
                _pages(
                    self._recurring.recurring_run_service_list_recurring_runs,
                    "recurring_runs",
                    sort_by="created_at desc",
                    filter=_named(name),
                    **self._namespaced(),
                )
            )
        return [self._schedule(each) for each in found]

    def create_schedule(self, job: Job, cron: str, paused: bool) -> Schedule:
        """Create a recurring run. Kubeflow's expressions begin with seconds."""
        mode = api.RecurringRunMode.DISABLE if paused else api.RecurringRunMode.ENABLE
        with translated(self._settings):
            created = self._recurring.recurring_run_service_create_recurring_run(
                api.V2beta1RecurringRun(
                    display_name=job.name,
                    description=_DIGEST + self.digest(job, cron),
                    trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=f"0 {cron}")),
                    mode=mode,
                    max_concurrency="1",
                    no_catchup=True,
                    **self._content(job),
                )
            )
        return self._schedule(created)

    def pause(self, schedule: Schedule) -> None:
        """Disable a recurring run."""
        with translated(self._settings):
            self._recurring.recurring_run_service_disable_recurring_run(schedule.id)

    def resume(self, schedule: Schedule) -> None:
        """Enable a recurring run."""
        with translated(self._settings):
            self._recurring.recurring_run_service_enable_recurring_run(schedule.id)

    def delete(self, schedule: Schedule) -> None:
        """Delete a recurring run."""
        with translated(self._settings):
            self._recurring.recurring_run_service_delete_recurring_run(schedule.id)

    def _content(self, job: Job) -> dict[str, Any]:
        """Return the fields that a run and a recurring run share."""
        pipeline, version = self._uploaded(job)
        return {
            "experiment_id": self._experiment(),
            "pipeline_version_reference": api.V2beta1PipelineVersionReference(
                pipeline_id=pipeline, pipeline_version_id=version
            ),
            "runtime_config": api.V2beta1RuntimeConfig(
                parameters=job.parameters, pipeline_root=self._settings.pipeline_root
            ),
            "service_account": self._settings.service_account,
        }

    def _uploaded(self, job: Job) -> tuple[str, str]:
        """Return the ids of the pipeline and of the version with the job's specification; upload what is missing."""
        digest = job.specification_digest
        pipelines = self._pipelines.pipeline_service_list_pipelines(filter=_named(job.name), **self._namespaced())
        uploads = api.PipelineUploadServiceApi(self._client)
        if pipelines.pipelines:
            pipeline = pipelines.pipelines[0].pipeline_id
            versions = self._pipelines.pipeline_service_list_pipeline_versions(pipeline, filter=_named(digest))
            if versions.pipeline_versions:
                return pipeline, versions.pipeline_versions[0].pipeline_version_id
        else:
            pipeline = self._pipelines.pipeline_service_create_pipeline(
                api.V2beta1Pipeline(display_name=job.name, name=job.name, **self._namespaced())
            ).pipeline_id
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pipeline.yaml")
            file.write_text("\n---\n".join(map(json.dumps, job.documents)), encoding="utf-8")  # JSON is YAML
            version = uploads.upload_pipeline_version(str(file), name=digest, pipelineid=pipeline)
        return pipeline, version.pipeline_version_id

    def _experiment(self) -> str:
        """Return the id of the experiment; create it if there is none."""
        experiments, name = api.ExperimentServiceApi(self._client), self._settings.experiment
        found = experiments.experiment_service_list_experiments(filter=_named(name), **self._namespaced())
        if found.experiments:
            return found.experiments[0].experiment_id
        wanted = api.V2beta1Experiment(display_name=name, namespace=self._settings.namespace)
        return experiments.experiment_service_create_experiment(wanted).experiment_id

    def _schedule(self, found: api.V2beta1RecurringRun) -> Schedule:
        description = found.description or ""
        digest = description.removeprefix(_DIGEST) if description.startswith(_DIGEST) else ""
        link = f"{self._settings.host}/#/recurringrun/details/{found.recurring_run_id}"
        return Schedule(found.recurring_run_id, digest, found.status == "DISABLED", link)

    def _namespaced(self) -> dict[str, str]:
        return {} if self._settings.namespace is None else {"namespace": self._settings.namespace}


def _named(name: str) -> str:
    """Return a filter of the API for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _pages(list_: Callable[..., Any], key: str, **arguments: Any) -> Iterator[Any]:
    """Yield the members of all pages of a list."""
    token = ""
    while True:
        page = list_(page_token=token, page_size=_PAGE, **arguments)
        yield from getattr(page, key) or []
        token = page.next_page_token
        if not token:
            return


def _phase(state: str | None) -> Phase:
    return _PHASES.get(state or "", "waiting")


def _is_task(detail: api.V2beta1PipelineTaskDetail) -> bool:
    """Return whether an entry is a task; Kubeflow also lists the DAG, and the driver and the executor of each task."""
    name = detail.display_name or ""
    return bool(name) and name not in ("root", "executor") and not name.endswith("-driver")


def _message(error: api.GoogleRpcStatus | None) -> str:
    return "" if error is None else error.message or ""
