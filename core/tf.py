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


def without_keras() -> None:
    """Keep TensorFlow from importing Keras with itself, which takes a quarter of the time of that import.

    For a process that only answers: to be called before TensorFlow is imported, and of no effect after that.
    """
    if "tensorflow" not in sys.modules:
        sys.modules.setdefault("tf_keras", None)  # type: ignore[arg-type]
