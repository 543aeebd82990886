"""The configuration of TensorFlow Model Analysis for the ranker: metrics of the relevance of candidates."""

import core.tf  # Keras 2, before TensorFlow

import tensorflow_model_analysis as tfma

from core import names
from pipeline.config import Config

# In a local run TFMA loads the ranking model in this process, which needs the model's ops.
core.tf.register_ops()


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
