"""The models of releases in the layout of TensorFlow Serving, and the pair of versions of the release in force.

    serving/retrieval/<number>/   serving/ranking/<number>/     written by TFX's Pusher; the number is a timestamp
    releases/models.config                                      names the versions of the release in force

The two models of a release are pushed one after the other with different numbers, so the highest numbers need not
belong to the same release. `models.config` names the versions of one release and is replaced by rename: a server that
reads it changes both models or none. Every change is made under the lock of `core.release.writer`.
"""

import os
import re
import shutil
from pathlib import Path

from core import files
from core.errors import ReleaseError
from core.release import reader

CONFIG_FILE = "models.config"
STEPS = (reader.RETRIEVAL, reader.RANKING)


def configuration(folder: Path, version: str) -> list[str] | None:
    """Restore the pushed models of a release if missing, and return TensorFlow Serving's configuration for it as lines.

    The format is `ModelServerConfig` of tensorflow_serving/config/model_server_config.proto as text. The result is None
    if the models of the release were not pushed, or if the folders of the pushed models are not on this machine.
    """
    pair = _pair(folder, version)
    if set(pair) != set(STEPS) or not all(path.parent.is_dir() for path in pair.values()):
        return None
    lines = ["model_config_list {"]
    for step in STEPS:
        if not pair[step].is_dir():
            with files.replacing_folder(pair[step]) as partial:
                shutil.copytree(folder / version / step, partial, dirs_exist_ok=True)
        lines += [
            "  config {",
            f'    name: "{step}"',
            f'    base_path: "{_escaped(pair[step].parent)}"',
            '    model_platform: "tensorflow"',
            f"    model_version_policy {{ specific {{ versions: {pair[step].name} }} }}",
            "  }",
        ]
    return [*lines, "}"]


def collect(folder: Path, versions: list[str], serving: Path, dry_run: bool) -> list[Path]:
    """Delete the models below `serving` that belong to none of the releases `versions`; return their folders.

    Models newer than those of every release are kept, since their release may not be published yet. All models are kept
    if the manifest of a release does not name its models.
    """
    try:
        pairs = [_pair(folder, version) for version in versions]
    except ReleaseError:
        return []
    if not all(set(pair) == set(STEPS) for pair in pairs):
        return []
    gone = []
    for step in STEPS:
        base, kept = serving / step, {int(pair[step].name) for pair in pairs}
        if not base.is_dir():
            continue
        numbered = sorted(path for path in base.iterdir() if path.name.isdecimal() and not path.is_symlink())
        gone += (old := [path for path in numbered if int(path.name) not in kept and int(path.name) < max(kept)])
        if not dry_run:
            for path in old:  # hidden first, so that a server does not load a model that is being deleted
                os.rename(path, path.with_name(f".{path.name}.partial"))
            for hidden in base.glob(".*.partial"):
                shutil.rmtree(hidden)
    return gone


def relative_folder(folder: Path, step: str, path: Path) -> str:
    """Return the folder of a pushed model relative to the folder of the releases, as in a manifest.

    Args:
      folder: the folder of the releases.
      step: the step of the model.
      path: the folder of the pushed model: `<any name>/<step>/<number>` beside the folder of the releases.
    Raises:
      ReleaseError: `path` is elsewhere.
    """
    relative = os.path.relpath(path, folder)
    if not _RELATIVE_FOLDER.fullmatch(relative) or Path(relative).parent.name != step:
        raise ReleaseError(
            f"{path}: the folder of a pushed model of {step} should be `<name>/{step}/<number>` beside {folder}; a "
            "manifest must not name a folder outside of the run folder"
        )
    return relative


_RELATIVE_FOLDER = re.compile(r"\.\./[A-Za-z0-9_][A-Za-z0-9_.-]*/[a-z]+/[0-9]+")


def _pair(folder: Path, version: str) -> dict[str, Path]:
    """Return step → the absolute folder of the model that was pushed with a release.

    Raises:
      ReleaseError: the manifest cannot be read, or names another folder; see `relative_folder`.
    """
    folder = folder.absolute()
    served = reader.manifest(folder, version)["served"]
    return {
        step: Path(os.path.normpath(folder / relative_folder(folder, step, folder / path)))
        for step, path in served.items()
    }


def _escaped(path: Path) -> str:
    """Return a path escaped as the content of a string in protobuf's text format."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
