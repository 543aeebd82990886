"""The keys of signed releases in a compiled pipeline: which tasks get them, and their check in a task.

A specification holds the content of the public keys, and of the private key only the path in the container. Kubeflow
mounts a Secret there. DeliveryInForce, which runs before the training, checks the key that ReleasePusher signs with.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import node_ids
from core.errors import ReleaseError, UsageError
from core.release import signing
from pipeline.config import Config

TASKS = (node_ids.DELIVERY_IN_FORCE, node_ids.RELEASE_PUSHER)
_FILE = re.compile(r"[A-Za-z0-9_.-]+")  # a key of a Kubernetes Secret


def key_file(config: Config, target: str) -> str:
    """Return the path of the private key in the container; "" if the releases are not signed.

    Raises:
      UsageError: the configuration does not say where the container has the key, or the platform cannot mount it there.
    """
    if config.release.signing_key is None:
        return ""
    keys, name = config.cluster.keys, Path(config.release.signing_key).name
    if keys is None:
        raise UsageError(
            "cluster.keys: a compiled pipeline that signs releases needs the place of the key in its containers; set "
            "`cluster.keys.secret` to the name of a Kubernetes Secret, or remove `release.signing_key`"
        )
    if target == "vertex" and keys.secret is not None:
        raise UsageError(
            "cluster.keys.secret: Vertex AI mounts no Secrets. Remove `secret`, and set `cluster.keys.folder` to a "
            "folder that the containers have, such as /gcs/BUCKET/FOLDER of a private bucket"
        )
    if not _FILE.fullmatch(name):
        raise UsageError(
            f"release.signing_key: the name of the file should be letters, digits and `_.-`, as those of a Secret are; "
            f"found {name!r}. Rename the file"
        )
    return f"{keys.folder}/{name}"


def platform(config: Config, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the specification for the platform Kubernetes, which mounts the Secret; None if there is none to mount.

    The Secret is optional for Kubernetes: without it a container would wait without an end, and so the task says what
    is missing.
    """
    if config.release.signing_key is None or config.cluster.keys is None or config.cluster.keys.secret is None:
        return None
    keys, tasks, components = config.cluster.keys, spec["root"]["dag"]["tasks"], spec["components"]
    labels = [components[tasks[name]["componentRef"]["name"]]["executorLabel"] for name in TASKS]
    volume = {"secretName": keys.secret, "mountPath": keys.folder, "optional": True}
    executors = {label: {"secretAsVolume": [volume]} for label in labels}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def check(file: Path, trusted: Sequence[Path]) -> None:
    """Check that a task can sign a release which readers load. Raises: ReleaseError."""
    if not file.is_file():
        raise ReleaseError(
            f"{file}: the key that signs releases is not in the container. Create the Secret with a file of this name "
            "(`cluster.keys.secret`), or correct `cluster.keys.folder` or the parameter `keys`"
        )
    signature = signing.sign(b"probe", file)
    if trusted and not signing.is_signed(b"probe", signature, trusted):
        raise ReleaseError(
            f"{file}: is not the private key of one of `release.trusted_keys`, so the release could not be loaded. "
            "Correct the Secret, or compile with its public key"
        )
