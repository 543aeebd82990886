"""Bearer tokens from files and the environment. A file is read again when a token has expired."""

import os
from collections.abc import Callable
from pathlib import Path

from core.errors import UsageError

KUBEFLOW_VARIABLE = "TWOSTEP_KUBEFLOW_TOKEN"
# Where Kubeflow mounts the token of a pod's service account, and the variable that names another place.
IN_CLUSTER_FILE = "/var/run/secrets/kubeflow/pipelines/token"
IN_CLUSTER_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"

TokenSource = Callable[[], str]


def of_file(file: Path, key: str) -> TokenSource:
    """Return a function that reads the token in a file; it raises UsageError, which names `key`, if there is none."""

    def read() -> str:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not text"
            raise UsageError(f"{key}: {file}: {why}. Write the token into this file, or name another") from None
        if not token or any(not character.isprintable() or character.isspace() for character in token):
            raise UsageError(f"{key}: {file}: should hold one token on one line; it does not")
        return token

    return read


def of_kubeflow(token_file: Path | None) -> TokenSource | None:
    """Return the source of the token for Kubeflow Pipelines; None where it needs none.

    Args:
      token_file: the configured file; without it the variable KUBEFLOW_VARIABLE, or else the token in the cluster.
    """
    if token_file is not None:
        return of_file(token_file, "submit.kubeflow.token_file")
    if token := os.environ.get(KUBEFLOW_VARIABLE, "").strip():
        return lambda: token
    in_cluster = Path(os.environ.get(IN_CLUSTER_VARIABLE) or IN_CLUSTER_FILE)
    return of_file(in_cluster, IN_CLUSTER_VARIABLE) if in_cluster.is_file() else None
