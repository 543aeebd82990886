"""The vocabularies in a SavedModel that contains a transform graph. No TensorFlow here."""

from pathlib import Path

from transform.features import Features
from transform.names import vocabularies

ASSETS = "assets"  # TensorFlow's folder for files of a SavedModel


def read(folder: Path, features: Features) -> dict[str, list[bytes]]:
    """Return name → values in the order of their indices, for the vocabularies of `features` that the model has.

    Args:
      folder: the folder of a SavedModel; empty, if there is none.
      features: the feature configuration.
    """
    files = {name: folder / ASSETS / name for name in vocabularies(features)}
    return {name: file.read_bytes().splitlines() for name, file in files.items() if file.is_file()}
