"""Which earlier models the evaluators compare with: the last blessed ones that are not the ones under evaluation.

TFX's own strategy would answer with the models of this very pipeline once they are blessed, so a run with nothing
changed would compare them with themselves, and its evaluators would not be taken from cache.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx.dsl.components.common import resolver
from tfx.types import artifact_utils

BLESSING = "blessing"


def model_id(key: str) -> str:
    """The custom property of a blessing that holds the ML Metadata id of the model it blessed as `key`."""
    return f"{key}_id"


class LastBlessed(resolver.ResolverStrategy):
    """The current models in, the newest that were blessed together and differ from them out, or nothing.

    The earlier models are found by the ids in their blessing. A channel with all models of a trainer would be the
    obvious input, but TFX gives it the same key as that trainer's own output and loses one of the two.
    """

    def resolve_artifacts(self, store, input_dict):
        """Pick from the blessings of this pipeline's history.

        Args:
          store: ML Metadata.
          input_dict: `blessing`: all blessings so far; other keys: the model of this run.
        Returns:
          The same keys: the blessing found and the models it blessed, or nothing.
        """
        keys = [key for key in input_dict if key != BLESSING]
        current = [model.id for key in keys for model in input_dict[key]]
        for blessing in sorted(input_dict[BLESSING], key=lambda artifact: artifact.id, reverse=True):
            ids = [blessing.get_int_custom_property(model_id(key)) for key in keys]
            if blessing.get_int_custom_property("blessed") == 1 and ids != current:
                return {BLESSING: [blessing], **{key: [_model(store, id_)] for key, id_ in zip(keys, ids, strict=True)}}
        return {key: [] for key in input_dict}


def _model(store, artifact_id: int):
    [artifact] = store.get_artifacts_by_id([artifact_id])
    [kind] = store.get_artifact_types_by_id([artifact.type_id])
    return artifact_utils.deserialize_artifact(kind, artifact)
