"""The names of the outputs and vocabularies of the transform graph. No TensorFlow here."""

import keyword
import re
from collections.abc import Mapping

from core import names
from transform.features import Cross, Feature, Features, Indices, vocabulary_name

RESERVED = frozenset(value for key, value in vars(names).items() if key.isupper() and isinstance(value, str))


def outputs(features: Mapping[str, Feature]) -> list[str]:
    """Return the transformed columns of features."""
    return [
        column for name, feature in features.items() for output in feature.outputs(name) for column in output.columns
    ]


def check(features: Features) -> None:
    """Check that the names of features are valid names of columns and of inputs of the served signatures.

    Raises:
      ValueError: two columns have the same name, a name is reserved, or TensorFlow cannot serve a name; or a cross is
        of columns that cannot be crossed.
    """
    both = sorted(set(features.user) & set(features.item))
    if both:
        raise ValueError(f"a feature should be in one table; {both} are in both. {_RENAME}")
    for name in (*features.user, *features.item):
        if name in RESERVED:
            raise ValueError(f"{name!r} is a reserved name. {_RENAME}")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "self":
            raise ValueError(
                f"the name of a feature should be letters, digits and `_`, a letter first, and no keyword of Python, "
                f"since it is the name of an input of the served model; found {name!r}. {_RENAME}"
            )
    columns = [*outputs(features.user), *outputs(features.item)]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ValueError(f"{twice} are names of features and of the buckets or weights of other features. {_RENAME}")

    for table, members in (("users", features.user), ("items", features.item)):
        for name, feature in members.items():
            if isinstance(feature, Cross):
                _check_cross(name, feature, members, table)


def _check_cross(name: str, cross: Cross, members: Mapping[str, Feature], table: str) -> None:
    """Check the features of a cross. Raises: ValueError."""
    valid = [each for each, feature in members.items() if feature.raw and _has_categories(each, feature)]
    wrong = sorted(set(cross.columns) - set(valid))
    if wrong:
        raise ValueError(
            f"{name} crosses {wrong}, but its columns should be features of {table} with categories: categorical, "
            f"multi-valued, or numeric with buckets. Those are {valid}"
        )
    if len(set(cross.columns)) < len(cross.columns):
        raise ValueError(f"{name} should cross different columns; found {list(cross.columns)}")


def _has_categories(name: str, feature: Feature) -> bool:
    """Return whether a feature can be crossed: whether it has an output of indices with equal weights."""
    indices = feature.indices(name)
    return indices is not None and indices.weights is None


_RENAME = "Rename it in `columns`."


def vocabularies(features: Features) -> list[str]:
    """Return the names of the vocabularies of the transform graph."""
    ids = [vocabulary_name(key) for key in (names.USER_ID, names.ITEM_ID)]
    return [*ids, *(each.vocabulary for each in _indices(features) if each.vocabulary)]


def index_sizes(features: Features, vocabulary_sizes: dict[str, int]) -> dict[str, int]:
    """Return transformed index column → its number of indices: 0, the vocabulary and the out-of-vocabulary buckets.

    Args:
      features: the feature configuration.
      vocabulary_sizes: name of a vocabulary → its size, without out-of-vocabulary buckets.
    """
    return {each.column: each.size(vocabulary_sizes) for each in index_outputs(features)}


def index_outputs(features: Features) -> list[Indices]:
    """Return the outputs of the transform graph that are indices: those of ids, then those of features."""
    ids = [Indices(key, features.id_oov_buckets, vocabulary_name(key)) for key in (names.USER_ID, names.ITEM_ID)]
    return [*ids, *_indices(features)]


def _indices(features: Features) -> list[Indices]:
    """Return the outputs of all features that are indices."""
    every = [output for name, feature in (features.user | features.item).items() for output in feature.outputs(name)]
    return [output for output in every if isinstance(output, Indices)]
