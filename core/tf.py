"""Import this before TensorFlow: TFRS, TFT's layers and TFMA want Keras 2, which a variable must say first."""

import os
import sys

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError("tensorflow was imported before core.tf; import core.tf first, so that Keras 2 is the one in use")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def register_ops() -> None:
    """Register YDF's op, which ranking models of trees hold: TensorFlow Serving ships it, TensorFlow doesn't.

    To be called before a ranking model is loaded.
    """
    import ydf_tf  # noqa: F401 - importing it registers the op


def for_answers_only() -> None:
    """Keep TensorFlow from importing Keras and the client of Google Cloud, which takes a third of its import's time.

    For a process that only calls SavedModels. Call it before TensorFlow is imported; later it has no effect.
    """
    if "tensorflow" not in sys.modules:
        for module in ("tf_keras", "googleapiclient"):
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]
