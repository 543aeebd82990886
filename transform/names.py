"""What the transform graph calls its outputs and vocabularies. No TensorFlow here."""

from core import names
from transform.features import Feature, Features


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


def index_sizes(features: Features, vocabulary_sizes: dict[str, int]) -> dict[str, int]:
    """Transformed index column → how many indices it has: 0 for missing, the vocabulary, the out-of-vocabulary buckets.

    Args:
      features: the feature configuration.
      vocabulary_sizes: vocabulary name → its size, without the out-of-vocabulary buckets.
    """
    sizes = {
        key: 1 + vocabulary_sizes[vocabulary_name(key)] + features.id_oov_buckets for key in (names.USER_ID, names.ITEM_ID)
    }
    for name, feature in (features.user | features.item).items():
        if feature.kind == "numeric":
            sizes |= {bucket_name(name): 1 + feature.buckets} if feature.buckets else {}
        else:
            sizes[name] = 1 + vocabulary_sizes[vocabulary_name(name)] + feature.oov_buckets
    return sizes
