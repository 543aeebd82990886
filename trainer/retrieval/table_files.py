"""The plan and the tables of a retrieval model as files of its SavedModel. No TensorFlow here.

`plan.json` has the plan and the names of the tables, and the file `000.npy` is the first of these. Files have numbers,
since a name contains the label of a member, which may be any text.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from core.errors import ModelError
from core.files import write_json
from core.settings import Settings
from trainer.retrieval import plan

FOLDER = "assets.extra/tables"  # TensorFlow and its servers leave `assets.extra` of a SavedModel alone
PLAN_FILE = "plan.json"


class _Described(Settings):
    """The content of `PLAN_FILE`."""

    plan: plan.RetrievalPlan
    tables: tuple[str, ...] = Field(description="The names of the tables, in the order of their files.")


def write(model: str | Path, described: plan.RetrievalPlan, tables: Mapping[str, np.ndarray]) -> None:
    """Write the plan and the tables of a model.

    Args:
      model: the folder of the SavedModel.
      described: the plan.
      tables: the tables that the plan names.
    """
    folder = Path(model) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(tables.values()):
        np.save(folder / _file(number), np.ascontiguousarray(table), allow_pickle=False)
    write_json(folder / PLAN_FILE, _Described(plan=described, tables=tuple(tables)).model_dump(mode="json"))


def read(model: str | Path) -> tuple[plan.RetrievalPlan, dict[str, np.ndarray]]:
    """Return the plan and the tables of a model. Processes of one machine share the memory of the tables.

    Args:
      model: the folder of the SavedModel.
    Raises:
      ModelError: the model has no tables, or they cannot be read.
    """
    folder = Path(model) / FOLDER
    try:
        described = _Described.model_validate_json((folder / PLAN_FILE).read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{model}: should be a retrieval model with the file {FOLDER}/{PLAN_FILE}, which models of an earlier "
            "version lack. Make the release again"
        ) from None
    except ValidationError as error:
        raise ModelError(f"{folder / PLAN_FILE}: is not a plan of this version: {error}") from None
    return described.plan, {name: _mapped(folder / _file(number)) for number, name in enumerate(described.tables)}


def _file(number: int) -> str:
    return f"{number:03}.npy"


def _mapped(file: Path) -> np.ndarray:
    """Return an array that reads its values from a file. Raises: ModelError."""
    try:
        # A plain array, since operations on those of the class `memmap` take longer.
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read as a table: {error}") from None
