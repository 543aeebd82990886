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
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from core import files
from core.errors import ReleaseError
from core.release import reader
from core.storage import uris
from core.storage.driver import Stored
from core.storage.storage import Storage

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


def collect(served: Iterable[Mapping[str, str]], serving: Path, dry_run: bool) -> list[Path]:
    """Delete the models in a folder that belong to no release; return their folders.

    Models newer than the newest one here of a release are kept, since their release may not be published yet. All
    models are kept if the manifest of a release does not name its models.

    Args:
      served: the value `served` of the manifest of each release.
      serving: the folder that the Pushers write to.
      dry_run: whether to delete nothing.
    """
    gone = []
    for step, kept in _numbers(served).items():
        base = serving / step
        if not base.is_dir():
            continue
        found = {int(path.name): path for path in base.iterdir() if path.name.isdecimal() and not path.is_symlink()}
        gone += (old := [found[number] for number in _outdated(found, kept)])
        if not dry_run:
            for path in old:  # hidden first, so that a server does not load a model that is being deleted
                os.rename(path, path.with_name(f".{path.name}.partial"))
            for hidden in base.glob(".*.partial"):
                shutil.rmtree(hidden)
    return gone


def collect_objects(
    served: Iterable[Mapping[str, str]], serving: Storage, before: datetime, dry_run: bool
) -> list[str]:
    """Delete the models in a bucket that belong to no release; return their URIs.

    The models that are kept are those of `collect`, and those with an object that was changed at `before` or later:
    another run may be about to publish them.

    Args:
      served, dry_run: as for `collect`.
      serving: the place that the Pushers write to.
      before: a time, by the clock of the store.
    Raises:
      StorageError: the bucket cannot be listed or changed.
    """
    gone = []
    for step, kept in _numbers(served).items():
        found: dict[int, list[Stored]] = {}
        for each in serving.entries(step):
            folder = each.key.split("/")[1]
            if folder.isdecimal():
                found.setdefault(int(folder), []).append(each)
        for number in _outdated(found, kept):
            if max(each.modified for each in found[number]) < before:
                gone.append(uris.joined(serving.place, "/".join(found[number][0].key.split("/")[:2])))
                if not dry_run:
                    serving.delete(each.key for each in found[number])
    return gone


def _numbers(served: Iterable[Mapping[str, str]]) -> dict[str, set[int]]:
    """Return step → the numbers of the models of the releases; empty if a release does not name both models."""
    numbers: dict[str, set[int]] = {step: set() for step in STEPS}
    for pair in served:
        if set(pair) != set(STEPS) or not all(_RELATIVE_FOLDER.fullmatch(path) for path in pair.values()):
            return {}
        for step, path in pair.items():
            numbers[step].add(int(path.rpartition("/")[2]))
    return numbers


def _outdated(found: Collection[int], kept: set[int]) -> list[int]:
    """Return the numbers of models that belong to no release and are older than one that does, ascending."""
    newest = max(kept & set(found), default=-1)
    return sorted(number for number in found if number not in kept and number < newest)


def name(step: str, place: str) -> str:
    """Return the name of a pushed model in the manifest of a release on a bucket, as if it were beside the releases.

    Args:
      step: the step of the model.
      place: the folder or URI of the pushed model, `…/<any name>/<step>/<number>`.
    Raises:
      ReleaseError: `place` has another form.
    """
    found = "/".join(["..", *place.split("/")[-3:]])
    if not _RELATIVE_FOLDER.fullmatch(found) or found.split("/")[2] != step:
        raise ReleaseError(f"{place}: the place of a pushed model of {step} should end in `<name>/{step}/<number>`")
    return found


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
