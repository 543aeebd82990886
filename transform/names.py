"""What the transform graph calls its outputs and vocabularies. No TensorFlow here."""

import keyword
import re
from collections.abc import Mapping

from core import names
from transform.features import Cross, Feature, Features, Indices, vocabulary_name

RESERVED = frozenset(value for key, value in vars(names).items() if key.isupper() and isinstance(value, str))


def outputs(features: Mapping[str, Feature]) -> list[str]:
    """The transformed columns of some features."""
    return [
        column for name, feature in features.items() for output in feature.outputs(name) for column in output.columns
    ]


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
        raise ValueError(f"{twice} are features and names of another feature's buckets or weights as well. {_RENAME}")

    for table, members in (("users", features.user), ("items", features.item)):
        for name, feature in members.items():
            if isinstance(feature, Cross):
                _check_cross(name, feature, members, table)


def _check_cross(name: str, cross: Cross, members: Mapping[str, Feature], table: str) -> None:
    fitting = [each for each, feature in members.items() if feature.raw and _has_categories(each, feature)]
    wrong = sorted(set(cross.columns) - set(fitting))
    if wrong:
        raise ValueError(
            f"{name} crosses {wrong}, but columns should be features of {table} that have categories: categorical, "
            f"multi-valued, or numeric with buckets. Those are {fitting}"
        )
    if len(set(cross.columns)) < len(cross.columns):
        raise ValueError(f"{name} should cross different columns; found {list(cross.columns)}")


def _has_categories(name: str, feature: Feature) -> bool:
    found = feature.indices(name)
    return found is not None and found.weights is None


_RENAME = "Rename it in `columns`."


def vocabularies(features: Features) -> list[str]:
    """The vocabularies that the transform graph holds."""
    ids = [vocabulary_name(key) for key in (names.USER_ID, names.ITEM_ID)]
    return [*ids, *(each.vocabulary for each in _indices(features) if each.vocabulary)]


def index_sizes(features: Features, vocabulary_sizes: dict[str, int]) -> dict[str, int]:
    """Transformed index column → how many indices it has: 0 for missing, the vocabulary, the out-of-vocabulary buckets.

    Args:
      features: the feature configuration.
      vocabulary_sizes: vocabulary name → its size, without the out-of-vocabulary buckets.
    """
    ids = [Indices(key, features.id_oov_buckets, vocabulary_name(key)) for key in (names.USER_ID, names.ITEM_ID)]
    return {each.column: each.size(vocabulary_sizes) for each in (*ids, *_indices(features))}


def _indices(features: Features) -> list[Indices]:
    found = [output for name, feature in (features.user | features.item).items() for output in feature.outputs(name)]
    return [output for output in found if isinstance(output, Indices)]
