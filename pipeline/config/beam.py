"""The engine of the nodes that use Beam: this process, Prism, Flink, Spark or Dataflow, each with its options."""

import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.errors import UsageError
from core.patterns import Account, GsUri, Project, matching
from core.settings import Settings

Runner = Literal["local", "prism", "flink", "spark", "dataflow"]
# FnApiRunner, because the default DirectRunner first tries to download the binary of another runner. A container image
# is named, although no local run starts it, because without one TFX packs its own source for every node that uses Beam
# and leaves 42 MB in the temporary folder each time.
LOCAL = ("--runner=FnApiRunner", "--sdk_container_image=none")
_SECONDS = 10  # for a server to accept a connection
# What Beam's entry point of a worker imports first: it selects Keras 2.
_FIRST_IMPORT = "core.tf"
_PRISM = "prism_location"


_HOST = r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)"
_Address = Annotated[str, matching(rf"{_HOST}:\d{{1,5}}", "HOST:PORT, such as localhost:50000")]
_Image = Annotated[str, matching(r"[a-z0-9][\w.:/@-]*", "an image, such as registry.example.com/twostep-beam:1")]
_Region = Annotated[str, matching(r"[a-z]+-[a-z]+\d+", "a region, such as europe-west4")]
_Name = Annotated[str, matching(r"[a-z0-9][a-z0-9-]*", "a name of lower-case letters, digits and dashes")]


class Prism(Settings):
    """Prism, the portable engine of Beam in one program on this machine."""

    location: str = Field(
        min_length=1,
        description="The file of Prism, of the same version as apache-beam, relative to this file's folder.",
    )
    workers: _Address | None = Field(
        None,
        description="The HOST:PORT of a worker pool, `python -m pipeline.runners.beam_workers`; null to run the steps "
        "in the process of the node.",
    )

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments of Beam; see `Beam.arguments`."""
        environment = (
            ["--environment_type=LOOPBACK"]
            if self.workers is None
            else ["--environment_type=EXTERNAL", f"--environment_config={self.workers}"]
        )
        return [
            "--runner=PrismRunner",
            f"--{_PRISM}={folder / Path(self.location).expanduser()}",
            *environment,
            "--sdk_container_image=none",
        ]


class _Portable(Settings):
    """The options that Flink and Spark have in common: the job server, and the processes that run the steps."""

    job_server: _Address | None = Field(
        None, description="The HOST:PORT of a running job server; null to start one, which needs Java."
    )
    job_server_jar: str | None = Field(
        None, min_length=1, description="The file or URL of the job server that is started; by default Beam's own."
    )
    environment: Literal["docker", "process", "external", "loopback"] = Field(
        "docker",
        description="Where the steps run: in containers of `image`; in processes that each node of the cluster starts "
        "by `command`; in the pool at `workers`; or, on one machine only, in the process of the pipeline's node.",
    )
    image: _Image | None = Field(None, description="The container image of the workers, for `docker`.")
    command: str | None = Field(
        None, min_length=1, description="The program that starts a worker, Beam's `boot`, for `process`."
    )
    workers: _Address | None = Field(None, description="The HOST:PORT of the worker pool, for `external`.")

    @model_validator(mode="after")
    def _environment_fits(self) -> "_Portable":
        needs = {"docker": "image", "process": "command", "external": "workers", "loopback": None}
        needed = needs[self.environment]
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"`environment: {self.environment}` needs `{needed}`; add it")
        for key in ("image", "command", "workers"):
            if key != needed and getattr(self, key) is not None:
                raise ValueError(f"`{key}` is not used by `environment: {self.environment}`; remove one of both")
        if self.job_server is not None and self.job_server_jar is not None:
            raise ValueError("should have either `job_server`, a running one, or `job_server_jar`; found both")
        return self

    def _common(self) -> list[str]:
        """Return the arguments of the job server and of the workers."""
        found = [f"--environment_type={self.environment.upper()}", f"--sdk_container_image={self.image or 'none'}"]
        value = {
            "docker": self.image,
            "process": json.dumps({"command": self.command}),
            "external": self.workers,
            "loopback": None,
        }[self.environment]
        found += [f"--environment_config={value}"] if value else []
        found += [f"--job_endpoint={self.job_server}"] if self.job_server else []
        return [*found, f"--beam_plugin={_FIRST_IMPORT}"]


class Flink(_Portable):
    """A cluster of Apache Flink."""

    master: _Address | None = Field(
        None, description="The HOST:PORT of Flink's REST API; null for a job server that knows it."
    )
    version: Literal["1.19", "1.20", "2.0", "2.1", "2.2"] | None = Field(
        None, description="The version of Flink; by default the latest that Beam supports."
    )
    parallelism: int | None = Field(
        None, ge=1, le=10_000, description="The number of parallel subtasks; by default the cluster's."
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Flink":
        if self.master is None and self.job_server is None:
            raise ValueError("should have `master`, the cluster, or `job_server`, a running job server")
        return self

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments of Beam; see `Beam.arguments`."""
        options = {
            "flink_master": self.master,
            "flink_version": self.version,
            "flink_job_server_jar": self.job_server_jar,
            "parallelism": self.parallelism,
        }
        return ["--runner=FlinkRunner", *_options(options), *self._common()]


class Spark(_Portable):
    """A cluster of Apache Spark."""

    master: (
        Annotated[str, matching(r"spark://\S+:\d+|local\[(\d+|\*)\]|yarn", "spark://HOST:PORT, yarn or local[N]")]
        | None
    ) = Field(None, description="The master, spark://HOST:PORT; null for a job server that knows it.")

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Spark":
        if self.master is None and self.job_server is None:
            raise ValueError("should have `master`, the cluster, or `job_server`, a running job server")
        return self

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments of Beam; see `Beam.arguments`."""
        options = {"spark_master_url": self.master, "spark_job_server_jar": self.job_server_jar}
        return ["--runner=SparkRunner", *_options(options), *self._common()]


class Dataflow(Settings):
    """Google Cloud Dataflow."""

    project: Project = Field(description="The id of the Google Cloud project.")
    region: _Region = Field(description="The region, such as europe-west4.")
    temp_location: GsUri = Field(description="The URI of temporary files, gs://bucket/folder.")
    staging_location: GsUri | None = Field(
        None, description="The URI of the packages of a job; `temp_location` by default."
    )
    image: _Image = Field(description="The container image of the workers.")
    service_account: Account | None = Field(
        None, description="The service account of the workers; by default that of Compute Engine."
    )
    machine_type: _Name | None = Field(None, description="The type of machine; by default Dataflow's choice.")
    workers: int | None = Field(
        None, ge=1, le=1000, description="The number of machines at the start; by default Dataflow's choice."
    )
    max_workers: int | None = Field(
        None, ge=1, le=1000, description="The maximum number of machines; by default Dataflow's choice."
    )
    subnetwork: str | None = Field(
        None, min_length=1, description="The subnetwork, regions/REGION/subnetworks/NAME; by default the default one."
    )
    public_ips: bool = Field(True, description="Whether the machines have public addresses.")

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Dataflow":
        if self.workers is not None and self.max_workers is not None and self.workers > self.max_workers:
            raise ValueError(f"workers should be at most max_workers; found {self.workers} and {self.max_workers}")
        return self

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments of Beam; see `Beam.arguments`."""
        options = {
            "project": self.project,
            "region": self.region,
            "temp_location": self.temp_location,
            "staging_location": self.staging_location,
            "sdk_container_image": self.image,
            "service_account_email": self.service_account,
            "machine_type": self.machine_type,
            "num_workers": self.workers,
            "max_num_workers": self.max_workers,
            "subnetwork": self.subnetwork,
        }
        without = [] if self.public_ips else ["--no_use_public_ips"]
        return ["--runner=DataflowRunner", *_options(options), *without, f"--beam_plugin={_FIRST_IMPORT}"]


class Beam(Settings):
    """The engine of the nodes that use Beam, and its options; those of other engines are checked and not used."""

    runner: Runner = Field(
        "local",
        description="The engine: `local` in the process of the node, or in `processes`; `prism`, `flink`, `spark` or "
        "`dataflow` with the options of that name.",
    )
    processes: int = Field(1, ge=1, le=256, description="The number of processes of a node, for `local` only.")
    prism: Prism | None = Field(None, description="Prism, the portable engine of Beam in one program.")
    flink: Flink | None = Field(None, description="A cluster of Apache Flink.")
    spark: Spark | None = Field(None, description="A cluster of Apache Spark.")
    dataflow: Dataflow | None = Field(None, description="Google Cloud Dataflow.")

    @model_validator(mode="after")
    def _has_options(self) -> "Beam":
        if self.runner != "local" and getattr(self, self.runner) is None:
            raise ValueError(f"`runner: {self.runner}` needs `{self.runner}`, its options; add them")
        if self.runner != "local" and self.processes > 1:
            raise ValueError(f"`processes` is used by `runner: local` only; found runner {self.runner}. Remove one")
        return self

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments with which Beam runs a node.

        Args:
          folder: the folder of the configuration file, which files are relative to.
        """
        if self.runner != "local":
            chosen: Prism | Flink | Spark | Dataflow = getattr(self, self.runner)
            return chosen.arguments(folder)
        if self.processes == 1:
            return list(LOCAL)
        several = ("--direct_running_mode=multi_processing", f"--direct_num_workers={self.processes}")
        return [*LOCAL, *several]

    def check(self, folder: Path, run_folder: Path) -> None:
        """Check that the engine can run the nodes of a run on this machine, before the first of them runs.

        Args:
          folder: the folder of the configuration file.
          run_folder: the local folder that the nodes read and write.
        Raises:
          UsageError: the workers could not reach the run folder; or as `check_arguments`.
        """
        if self.runner == "dataflow":
            raise UsageError(
                f"beam.runner: should not be dataflow here: its workers cannot read the local folder {run_folder}. "
                "Compile the pipeline, `twostep compile CONFIG --to vertex`, or use `local` with several `processes`"
            )
        check_arguments(self.arguments(folder))


def is_distributed(arguments: Sequence[str]) -> bool:
    """Return whether arguments of Beam name an engine whose workers may be on other machines; not without any."""
    return bool(arguments) and LOCAL[0] not in arguments


def check_arguments(arguments: Sequence[str]) -> None:
    """Check what the engine of these arguments of Beam needs, since Beam would wait for it without an end.

    Raises:
      UsageError: Prism is no program, or a server does not answer.
    """
    given = dict(each.removeprefix("--").split("=", 1) for each in arguments if "=" in each)
    if _PRISM in given and not (Path(given[_PRISM]).is_file() and os.access(given[_PRISM], os.X_OK)):
        raise UsageError(
            f"beam.prism.location: {given[_PRISM]} is not a program. Build Prism with `go install "
            "github.com/apache/beam/sdks/v2/go/cmd/prism@VERSION`, with the version of apache-beam"
        )
    section = "beam." + given.get("runner", "").removesuffix("Runner").lower()
    if "job_endpoint" in given:
        _check_answers(f"{section}.job_server", given["job_endpoint"], "the job server")
    if given.get("environment_type") == "EXTERNAL":
        pool = "`python -m pipeline.runners.beam_workers`"
        _check_answers(f"{section}.workers", given["environment_config"], pool)


def _check_answers(key: str, address: str, what: str) -> None:
    """Raise UsageError if nothing listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with contextlib.closing(socket.create_connection((host.strip("[]"), int(port)), _SECONDS)):
            return
    except (OSError, OverflowError) as error:
        raise UsageError(f"{key}: {address} does not answer ({error}). Start {what}, or correct the address") from None


def _options(values: Mapping[str, str | int | None]) -> list[str]:
    """Return `--name=value` for each value that is set."""
    return [f"--{name}={value}" for name, value in values.items() if value is not None]
