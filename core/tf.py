"""The environment of TensorFlow: importing this module first selects Keras 2, which TFRS, TFT and TFMA need."""

import os
import sys

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError("tensorflow was imported before core.tf, which selects Keras 2. Import core.tf first")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def register_ops() -> None:
    """Register the TensorFlow op of YDF, without which a ranking model of trees cannot be loaded.

    TensorFlow Serving includes the op, TensorFlow does not.
    """
    import ydf_tf  # noqa: F401 - importing it registers the op


def without_training() -> None:
    """Prevent TensorFlow from importing Keras and the Google Cloud client, which takes a third of its import time.

    A process that only calls SavedModels needs neither. After TensorFlow is imported, the call has no effect.
    """
    if "tensorflow" not in sys.modules:
        for module in ("tf_keras", "googleapiclient"):
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]
