"""The local folders of a task: what it reads is staged to them, and what it writes is published from them whole.

A task whose Beam steps may run on other machines has none: its executor reads and writes the URIs. Its outputs then
appear file by file. This is safe, since a URI belongs to one execution, and names an artifact only when the task has
succeeded; what a failed task has written is deleted.
"""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.table_example_gen.sources import TableSource
from core import files
from core.errors import StorageError
from core.storage import errors, uris
from core.storage.storage import open_storage
from pipeline.config.data import Spans, as_location
from pipeline.runners.compiled import keys
from pipeline.runners.compiled.executor_input import mounted
from pipeline.runners.compiled.parameters import (
    FINGERPRINT,
    KEYS,
    SCHEMA,
    SIGNING_KEY,
    SPANS,
    TABLES,
    TRUSTED_KEYS,
    UNKNOWN,
    with_texts,
)
from pipeline.sources import tables


class Staging:
    """The folders of one task.

    Args:
      temporary: a folder that is deleted after the task.
      mounts: the parent of the folders that Kubeflow's launcher copies artifacts to and from; None where the task has
        to do so itself.
      outputs: the URIs of the outputs.
      in_place: whether the executor reads and writes URIs in place of local folders.
    """

    def __init__(self, temporary: Path, mounts: Path | None, outputs: Sequence[str], in_place: bool = False):
        self._temporary, self._mounts, self._outputs, self._in_place = temporary, mounts, outputs, in_place
        self._open = contextlib.ExitStack()  # closed when the executor has ended
        self._uris: dict[str, str] = {}  # folder -> the place that it stands for
        self._written: dict[str, Path] = {}  # place -> the folder that is published to it, beside artifacts

    def folder(self, place: str) -> Path:
        """Return the folder that stands for an artifact's URI; with a launcher a path stands for itself."""
        if self._mounts is not None:
            folder = mounted(place, self._mounts) or Path(place)
        else:
            folder = self._temporary / "artifacts" / hashlib.sha256(place.encode()).hexdigest()[:16]
        self._uris[str(folder)] = place
        return folder

    def local(self, place: str) -> str:
        """Return what the executor gets for the URI of an artifact: its folder, or the URI."""
        return place if self._in_place else str(self.folder(place))

    def begin(self) -> None:
        """Make the folders of the outputs; delete what an earlier attempt left at their URIs. Raises: StorageError."""
        if self._in_place:
            self._delete_outputs()
        else:
            for place in self._outputs:
                self.folder(place).mkdir(parents=True, exist_ok=True)

    def fail(self) -> None:
        """Delete what the executor has written at the URIs of the outputs; do nothing if they cannot be reached."""
        with contextlib.suppress(StorageError):
            self._open.close()
        if self._in_place:
            with contextlib.suppress(StorageError):
                self._delete_outputs()

    def _delete_outputs(self) -> None:
        for place in self._outputs:
            storage = open_storage(place)
            storage.delete([each.key for each in storage.entries()])

    def fetch(self, place: str) -> None:
        """Download an input, unless a launcher did. Raises: StorageError."""
        if self._mounts is None and not self._in_place:
            try:
                open_storage(place).download("", self.folder(place))
            except errors.ObjectMissingError:  # an output without files, such as that of a Pusher that did not push
                self.folder(place).mkdir(parents=True)

    def remote(self, text: str) -> str:
        """Return a text with the places in which the task's folders stand."""
        for folder in sorted(self._uris, key=len, reverse=True):
            text = text.replace(folder, self._uris[folder])
        return text

    def stage_parameters(self, parameters: dict[str, Any], run: dict[str, Any]) -> None:
        """Replace the places in the parameters of a node by local files and folders.

        Args:
          parameters: the parameters of the node; changed in place.
          run: the runtime parameters and further constants of the task.
        Raises:
          UsageError: no span is selected, or tables have different spans.
          StorageError: the tables cannot be read, or were replaced since the run was submitted.
          ReleaseError: the key that signs releases is missing or wrong.
        """
        trusted = self._stage_trusted_keys(parameters, run)
        if SIGNING_KEY in run:
            keys.check(Path(run[KEYS], run[SIGNING_KEY]), trusted)
        if TABLES in run:
            self._stage_table(parameters, run)
        if SCHEMA in run:
            file = self._temporary / "schema" / "schema.pbtxt"
            file.parent.mkdir()
            file.write_text(run[SCHEMA], encoding="utf-8")
            parameters["schema_file"] = str(file)
        if "push_destination" in parameters:
            self._stage_push(parameters)

    def _stage_trusted_keys(self, parameters: dict[str, Any], run: dict[str, Any]) -> list[Path]:
        """Write the public keys to files, name these in the parameters of a node, and return them."""
        texts: dict[str, str] = json.loads(run.get(TRUSTED_KEYS, "{}"))
        placed = {name: self._temporary / "keys" / name for name in texts}
        for name, file in placed.items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(texts[name], encoding="utf-8")
        parameters |= with_texts(parameters, {name: str(file) for name, file in placed.items()})
        return list(placed.values())

    def _stage_table(self, parameters: dict[str, Any], run: dict[str, Any]) -> None:
        """Choose the files of the table of a node, fetch those that are not here, and name them in its parameters.

        Where URIs are read, files that are no objects are copied beside the output.
        """
        [(table, locations)] = json.loads(run[TABLES]).items()
        selected = Spans.model_validate_json(run[SPANS]) if SPANS in run else Spans()
        cache = self._temporary / "tables"
        parsed = {name: as_location(each) for name, each in locations.items()}
        base = parameters["input_base"]
        if self._in_place:
            beside = f"{self._outputs[0]}/.tables"
            source = self._open.enter_context(tables.shared(table, parsed, selected, base, beside, cache))
        else:
            source = tables.fetched(parsed, selected, base, [table], cache)[table]
        expected = run.get(FINGERPRINT, UNKNOWN)
        if expected != UNKNOWN and tables.fingerprints(parsed, selected, base).get(table) != expected:
            # The cache would return this output for the files of the submission.
            raise StorageError(f"{base}: the files of {table} were replaced after the run was submitted. Submit again")
        _name_source(parameters, source)

    def _stage_push(self, parameters: dict[str, Any]) -> None:
        """Let a Pusher push to a local folder, which is published."""
        destination = json.loads(parameters["push_destination"])
        place = destination["filesystem"]["base_directory"]
        if uris.is_uri(place):
            folder = self._temporary / "pushed"
            folder.mkdir()
            self._uris[str(folder)] = place
            self._written[place] = folder
            destination["filesystem"]["base_directory"] = str(folder)
            parameters["push_destination"] = json.dumps(destination)

    def publish(self) -> None:
        """Upload what the task has written, unless a launcher does or it is there. Raises: StorageError."""
        self._open.close()
        if self._mounts is None and not self._in_place:
            for place in self._outputs:
                open_storage(place).upload(self.folder(place), "")
        for place, folder in self._written.items():
            open_storage(place).upload(folder, "")

    def write(self, text: str, place: str) -> None:
        """Write a file to a path or a URI as a whole. Raises: StorageError."""
        if uris.is_uri(place):
            file = self._temporary / "written"
            file.write_text(text, encoding="utf-8")
            folder, _, name = place.rpartition("/")
            open_storage(folder).upload(file, name)
        else:
            with files.replacing(place) as partial:
                partial.write_text(text, encoding="utf-8")


def _name_source(parameters: dict[str, Any], source: TableSource) -> None:
    """Set the files of a table in the parameters of TableExampleGen, as its constructor does."""
    config = json.loads(parameters["input_config"])
    config["splits"][0]["pattern"] = "\n".join(source.patterns)
    parameters |= {"input_base": source.base, "input_config": json.dumps(config)}
    custom = json.loads(parameters["custom_config"])
    if source.spans:
        custom["custom_config"]["value"] |= {"spans": list(source.spans), "span": source.span}
    if source.origins:
        custom["custom_config"]["value"] |= {"origins": list(source.origins)}
    parameters["custom_config"] = json.dumps(custom)
