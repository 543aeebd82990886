"""The fits of a retrieval model: one that makes its choices by validation, and one that follows these choices.

Both run in threads of one process: a model that makes no choices is fitted at once. One that chooses its number of
epochs waits for the number or, if a core is free, keeps its weights after each epoch until the number is known.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace

import tensorflow as tf

from core import progress
from core.settings import Settings
from trainer.retrieval.choices import Choices
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.registry import MODELS

# Held by a fit that may not run beside others, or whose memory may be many times that of its data.
_alone = threading.Lock()


def fit(model: str, settings: Settings, data: RetrievalData, seed: int) -> RetrievalModel:
    """Fit the model named `model`; several threads may call this at once.

    A model that makes choices by validation but does not look at `data.follows` is fitted again with these choices.
    """
    entry = MODELS[model]
    with nullcontext() if entry.threads or entry.members else _alone:
        fitted: RetrievalModel = entry.load()(settings, data, seed)
    if data.choices is not None and data.follows is None:
        data.choices.publish(fitted.settings)
    if data.follows is not None and fitted.settings != data.follows.settings():
        return fit(model, data.follows.settings(), replace(data, choices=None), seed)
    return fitted


def core_is_free(model: str, settings: Settings) -> bool:
    """Return whether there are more cores than threads in which one fit makes training steps."""
    return len(os.sched_getaffinity(0)) > _threads(model, settings)


def share_cores(model: str, settings: Settings) -> None:
    """Let a TensorFlow operation use half of the cores if one of them is free for a second fit.

    On two cores a pair of training steps then takes three quarters of the time. A process that has used TensorFlow
    keeps its threads.
    """
    if core_is_free(model, settings):
        with suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(max(1, len(os.sched_getaffinity(0)) // 2))


def _threads(model: str, settings: Settings) -> int:
    members = MODELS.members(model, settings).values()
    return int(MODELS[model].threads) + sum(_threads(name, MODELS.check(name, params)) for name, params in members)


def fit_both(
    model: str,
    settings: Settings,
    first: RetrievalData,
    later: RetrievalData,
    seed: int,
    done: Callable[[RetrievalModel], None],
) -> RetrievalModel:
    """Fit a model to `first`, which has validation queries, and with the settings that it chose to `later`.

    On one core, or with several replicas, whose fits share communication, the fits are made one after the other.

    Args:
      done: a function that is called with the first model as soon as it is fitted.
    Returns:
      The later model.
    """
    together = len(os.sched_getaffinity(0)) > 1 and not first.distribution.several
    choices = Choices(ahead=together and core_is_free(model, settings))

    def fit_later() -> RetrievalModel:
        with progress.labelled("train and eval"):
            return fit(model, settings, replace(later, choices=choices), seed)

    with ThreadPoolExecutor(1, "later") as thread:
        beside = thread.submit(fit_later) if together else None
        try:
            early = fit(model, settings, replace(first, choices=choices), seed)
        except BaseException as error:
            choices.fail(error)  # so that the other fit ends
            raise
        done(early)
        return beside.result() if beside else fit_later()
