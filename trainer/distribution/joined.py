"""The devices of a trainer's run: those of this machine, or of this machine and others that the trainer calls."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from core import progress
from core.errors import ModelError
from trainer.distribution import connections, machines
from trainer.distribution.distribution import Distribution, choose_gpus, of_machines, on_this_machine
from trainer.distribution.settings import Training

# What TensorFlow raises when a machine has ended.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)


@contextlib.contextmanager
def devices(step: Literal["retrieval", "ranking"], fn_args: Any, training: Training) -> Iterator[Distribution]:
    """Yield the devices of the fits of a step. It must be entered before TensorFlow is used.

    Args:
      step: the step.
      fn_args: the arguments of `run_fn`, TFX's or `machines.Arguments`.
      training: the settings.

    Raises:
      ModelError: the GPUs are not there, another machine does not answer, or it ends during the block.
    """
    if not training.machines:
        yield on_this_machine(training.gpus)
        return
    choose_gpus(training.gpus)
    file: Path | None = None
    if isinstance(fn_args, machines.Arguments):
        machine, call = fn_args.machine, fn_args.call
    else:
        machine = 0
        file, call = machines.call(step, fn_args, training)
    try:
        progress.report(f"machine {machine} of {len(training.machines)} is connecting")
        connections.check(machine, training.machines, call, 60 * training.wait_minutes)
        yield of_machines(machine, training.machines)
    except LOST as error:
        raise ModelError(
            f"training.machines: one of {', '.join(training.machines)} ended or cannot be reached "
            f"({type(error).__name__}). See the output of `twostep train` there, and run again"
        ) from error
    finally:
        if file is not None:
            file.unlink(missing_ok=True)
