"""The configuration of TensorFlow Model Analysis for the ranker: metrics of the relevance of candidates."""

import core.tf  # Keras 2, before TensorFlow

import functools
from collections.abc import Callable
from typing import Any

import tensorflow_model_analysis as tfma

from core import names
from pipeline.config import Config


def eval_config(config: Config) -> tfma.EvalConfig:
    """Return AUC and calibration over the candidates of all lists, overall and by the configured slices of users."""
    slices = [name for name in config.evaluation.slices if name in config.features.user]
    kinds = ("ExampleCount", "AUC", "AUCPrecisionRecall", "MeanLabel", "MeanPrediction", "Calibration")
    metrics = [tfma.MetricConfig(class_name=kind) for kind in kinds]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(signature_name="rank_examples", label_key=names.LABEL, example_weight_key=names.WEIGHT),
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in slices)],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def custom_eval_shared_model(**arguments: Any) -> Any:
    """Return TFMA's shared model, which any process of Beam can load: TFX's Evaluator calls this function by its name.

    A process of a worker has not imported the ops of the ranking model, and the model is loaded there.
    """
    model = tfma.default_eval_shared_model(**arguments)
    loader = model.model_loader
    construct = functools.partial(_with_ops, loader.construct_fn)
    return model._replace(model_loader=tfma.types.ModelLoader(construct, loader.tags))


def _with_ops(construct: Callable[[], Any]) -> Any:
    """Return the model that `construct` loads, after the registration of its ops."""
    core.tf.register_ops()
    return construct()
