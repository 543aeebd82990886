"""The models of releases as TensorFlow Serving finds them, and which versions belong together.

    serving/retrieval/<number>/   serving/ranking/<number>/     made by TFX's Pusher; the number is a time in seconds
    releases/models.config                                      names the pair of the current release

The two steps of a release are pushed one after the other under numbers of their own, so the highest number of each need
not be a pair. `models.config` names one pair and is replaced by rename: a server that reads it, and not the highest
numbers, changes both or none. All of this is written under the lock of `core.release.writer`.
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
    """The lines of TensorFlow Serving's model configuration for one release, whose pushed models are put back if gone.

    None where the release was not pushed for it, or its base folders are not on this machine. `ModelServerConfig` of
    tensorflow_serving/config/model_server_config.proto, as text.
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
    """Delete below `serving` the models that belong to none of the releases `versions`; returns their folders.

    Those newer than every release's stay, since their release may be on its way; and all stay where it cannot be read
    off a release which are its own.
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
            for path in old:  # hidden first: a server must not load what is being deleted
                os.rename(path, path.with_name(f".{path.name}.partial"))
            for hidden in base.glob(".*.partial"):
                shutil.rmtree(hidden)
    return gone


def place(folder: Path, step: str, path: Path) -> str:
    """Return the folder of a pushed model as a manifest names it, from the folder of the releases.

    Args:
      folder: of the releases.
      step: of the model.
      path: of the pushed model: `<any name>/<step>/<number>` beside the folder of the releases.
    Raises:
      ReleaseError: it lies elsewhere.
    """
    found = os.path.relpath(path, folder)
    if not _PLACE.fullmatch(found) or Path(found).parent.name != step:
        raise ReleaseError(
            f"{path}: a pushed model of {step} should lie in `<name>/{step}/<number>` beside {folder}, so that no "
            "manifest can name a folder outside the run's"
        )
    return found


_PLACE = re.compile(r"\.\./[A-Za-z0-9_][A-Za-z0-9_.-]*/[a-z]+/[0-9]+")


def _pair(folder: Path, version: str) -> dict[str, Path]:
    """Step → the absolute folder of the model that was pushed with a release.

    Raises:
      ReleaseError: the manifest cannot be read, or names a folder elsewhere; see `place`.
    """
    folder = folder.absolute()
    served = reader.manifest(folder, version)["served"]
    return {step: Path(os.path.normpath(folder / place(folder, step, folder / path))) for step, path in served.items()}


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
