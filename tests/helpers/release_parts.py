"""The files of a small release, as the nodes before ReleasePusher write them."""

from pathlib import Path

from core import names
from core.release import reader


def make_parts(folder: Path, text: str = "one") -> dict[str, Path]:
    """Write the files of a release, and return its parts; `text` is the content of the retrieval model."""
    content = {
        "model/saved_model.pb": text,
        "model/variables/variables.index": "weights",
        "ranker/saved_model.pb": "ranker",
        "index/items.faiss": "vectors",
        f"index/{names.CATALOGUE_FILE}": "catalogue",
        "users/00000-of-00001.arrow": "users",
        f"statistics/items/{names.STATISTICS_FILE}": "statistics",
        names.EVALUATION_FILE: "{}",
    }
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value)
    return {
        reader.RETRIEVAL: folder / "model",
        reader.INDEX: folder / "index",
        reader.RANKING: folder / "ranker",
        names.USERS_FOLDER: folder / "users",
        reader.STATISTICS: folder / "statistics",
        names.CATALOGUE_FILE: folder / "index" / names.CATALOGUE_FILE,
        names.EVALUATION_FILE: folder / names.EVALUATION_FILE,
    }
