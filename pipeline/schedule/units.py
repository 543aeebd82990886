"""Units of other programs that start `twostep schedule CONFIG --once` again and again: systemd, cron and Kubernetes."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MOUNT = "/data"
_USER = 10_001  # not root; the volume belongs to its group
_RESOURCES = {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "8Gi"}}
_STOP_S = 900  # the seconds that a run gets to end after SIGTERM


def systemd(name: str, command: Sequence[str], folder: Path, poll_seconds: float) -> str:
    """Return a service and a timer of systemd.

    Args:
      name: the name of the recommender.
      command: the command line that is started.
      folder: its working directory.
      poll_seconds: the seconds between the end of one process and the start of the next.
    """
    return f"""\
# ---- twostep-{name}.service ----
[Unit]
Description=Retraining of {name}

[Service]
Type=oneshot
WorkingDirectory={_escaped(str(folder))}
ExecStart={" ".join(f'"{_quoted(word)}"' for word in command)}
# The scheduler alone gets SIGTERM, and passes it on to the run.
KillMode=mixed
TimeoutStopSec={_STOP_S}
SuccessExitStatus=143
NoNewPrivileges=yes
PrivateTmp=yes

# ---- twostep-{name}.timer ----
[Unit]
Description=Schedule of {name}

[Timer]
OnBootSec=1min
OnUnitInactiveSec={max(1, round(poll_seconds))}s
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def cron(command: Sequence[str], folder: Path, poll_seconds: float) -> str:
    """Return a line of a crontab; see `systemd` for the arguments."""
    line = f"cd {shlex.quote(str(folder))} && {shlex.join(command)}"
    return f"{every(poll_seconds)} " + line.replace("%", r"\%") + "\n"


def kubernetes(name: str, config_name: str, image: str, poll_seconds: float, secret_variable: str | None) -> str:
    """Return a CronJob of Kubernetes as YAML.

    Args:
      name: the name of the recommender.
      config_name: the name of the configuration's file, which lies in the volume.
      image: the container image with `twostep`.
      poll_seconds: the seconds between two starts.
      secret_variable: the environment variable with the webhook's secret; None without one.
    """
    import yaml

    title = f"twostep-{name}"[:52].rstrip("-")  # the most that Kubernetes accepts for a CronJob
    container: dict[str, Any] = {
        "name": "twostep",
        "image": image,
        "command": ["twostep", "schedule", f"{_MOUNT}/{config_name}", "--once"],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "resources": _RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": _MOUNT}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    if secret_variable is not None:
        reference = {"secretKeyRef": {"name": title, "key": secret_variable}}
        container["env"].append({"name": secret_variable, "valueFrom": reference})
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _STOP_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": title}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": title},
        "spec": {
            "schedule": every(poll_seconds),
            "concurrencyPolicy": "Forbid",
            # Without it, Kubernetes gives up after 100 starts that a long run has prevented.
            "startingDeadlineSeconds": 600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    return yaml.safe_dump(json.loads(json.dumps(job)), sort_keys=False)  # json: without anchors for shared parts


def every(seconds: float) -> str:
    """Return a crontab expression for every full number of minutes that divides an hour, at most `seconds`."""
    minutes = max(each for each in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60) if each <= max(1, seconds / 60))
    return "0 * * * *" if minutes == 60 else "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return a word for a quoted part of ExecStart."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return _escaped(escaped)
