"""What the transform graph calls its outputs and vocabularies. No TensorFlow here."""

import keyword
import re

from core import names
from transform.features import Feature, Features

RESERVED = frozenset(value for key, value in vars(names).items() if key.isupper() and isinstance(value, str))


def bucket_name(name: str) -> str:
    """The output that holds the quantile bucket of numeric column `name`."""
    return f"{name}_bucket"


def vocabulary_name(name: str) -> str:
    """The vocabulary of column `name`."""
    return f"{name}_vocabulary"


def outputs(features: dict[str, Feature]) -> list[str]:
    """The transformed columns of some features."""
    found = []
    for name, feature in features.items():
        found += [name, bucket_name(name)] if feature.kind == "numeric" and feature.buckets else [name]
    return found


def check(features: Features) -> None:
    """Whether the features' names can name the columns and the inputs of the served signatures.

    Raises:
      ValueError: two columns would have one name, or a name is taken or is none that TensorFlow can serve.
    """
    both = sorted(set(features.user) & set(features.item))
    if both:
        raise ValueError(f"a column should be a feature of one table; {both} are of both. {_RENAME}")
    for name in (*features.user, *features.item):
        if name in RESERVED:
            raise ValueError(f"{name!r} is a name the pipeline uses itself. {_RENAME}")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "self":
            raise ValueError(
                f"a feature's name should be letters, digits and `_`, a letter first, since it names an input of the "
                f"served model, and no word of Python's; found {name!r}. {_RENAME}"
            )
    columns = [*outputs(features.user), *outputs(features.item)]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ValueError(f"{twice} are features and names of another feature's buckets as well. {_RENAME}")


_RENAME = "Rename it in `columns`."


def index_sizes(features: Features, vocabulary_sizes: dict[str, int]) -> dict[str, int]:
    """Transformed index column → how many indices it has: 0 for missing, the vocabulary, the out-of-vocabulary buckets.

    Args:
      features: the feature configuration.
      vocabulary_sizes: vocabulary name → its size, without the out-of-vocabulary buckets.
    """
    sizes = {
        key: 1 + vocabulary_sizes[vocabulary_name(key)] + features.id_oov_buckets
        for key in (names.USER_ID, names.ITEM_ID)
    }
    for name, feature in (features.user | features.item).items():
        if feature.kind == "numeric":
            sizes |= {bucket_name(name): 1 + feature.buckets} if feature.buckets else {}
        else:
            sizes[name] = 1 + vocabulary_sizes[vocabulary_name(name)] + feature.oov_buckets
    return sizes
