"""Which earlier models the evaluators compare with: the last blessed ones that are not the ones under evaluation.

TFX's own strategy would answer with the models of this very pipeline once they are blessed, so a run with nothing
changed would compare them with themselves, and its evaluators would not be taken from cache.
"""

from tfx.dsl.components.common import resolver

BLESSING = "blessing"
CURRENT = "current_"


def model_id(key: str) -> str:
    """The custom property of a blessing that holds the ML Metadata id of the model it blessed."""
    return f"{key}_id"


class LastBlessed(resolver.ResolverStrategy):
    """Of all models that were blessed together, the newest that differ from the current ones, or nothing."""

    def resolve_artifacts(self, store, input_dict):
        """Pick from every artifact of this pipeline's history.

        Args:
          store: ML Metadata.
          input_dict: `blessing`: all blessings; for each kind of model a key with all models and `current_<key>` with the
            one of this run.
        Returns:
          The same keys, with at most one artifact each.
        """
        keys = [key for key in input_dict if key != BLESSING and not key.startswith(CURRENT)]
        current = {key: [model.id for model in input_dict[CURRENT + key]] for key in keys}
        models = {key: {model.id: model for model in input_dict[key]} for key in keys}
        result = {key: [] for key in input_dict}
        for blessing in sorted(input_dict[BLESSING], key=lambda artifact: artifact.id, reverse=True):
            ids = {key: blessing.get_int_custom_property(model_id(key)) for key in keys}
            known = all(ids[key] in models[key] for key in keys)
            others = any([ids[key]] != current[key] for key in keys)
            if blessing.get_int_custom_property("blessed") == 1 and known and others:
                result[BLESSING] = [blessing]
                result |= {key: [models[key][ids[key]]] for key in keys}
                break
        return result
