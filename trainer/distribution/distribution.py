"""The devices on which the training steps of a network are made.

Training is synchronous and data parallel: each replica of the network gets a part of each batch, the gradients are
summed over the replicas, and all replicas make the same update. A loss is divided by a number of the whole batch
(`over_replicas`), so that the sum of the replicas' losses is the loss of the batch. Any number of replicas fits the
same model, but for the order of sums and the masks of dropout.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from core.errors import ModelError
from trainer.layers import training_step

Divide = Callable[[Any, int], Sequence[Any]]


class Distribution:
    """The replicas of a network, on one or more devices of one or more machines.

    Args:
      strategy: TensorFlow's strategy; None for one replica, which has no overhead.
      machine: the number of this machine among `machines`.
      machines: the number of machines.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, machine: int = 0, machines: int = 1):
        self.strategy, self.machines = strategy, machines
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self.here = range(machine * self.replicas // machines, (machine + 1) * self.replicas // machines)

    @property
    def several(self) -> bool:
        """Return whether there are several replicas; their fits must not run in several threads."""
        return self.strategy is not None

    def scope(self) -> contextlib.AbstractContextManager:
        """Return the context in which the variables of a network are created, one for each replica."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def agreed(self, value: float) -> float:
        """Return the mean of a number that each machine computed, so that all machines decide alike."""
        strategy = self.strategy
        if strategy is None or self.machines == 1:
            return value

        def of_replica(number: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(number))

        def mean(number: tf.Tensor) -> tf.Tensor:
            return strategy.experimental_local_results(strategy.run(of_replica, args=(number,)))[0]

        return float(tf.function(mean, autograph=False)(tf.constant(value, tf.float64)))

    def steps(
        self,
        loss: Callable[[Any], tf.Tensor],
        model: tf.keras.Model,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        divide: Divide,
        signature: Any = None,
    ) -> Callable[[Any], tf.Tensor]:
        """Return a function that makes one training step with a batch of NumPy arrays and returns its loss.

        Args:
          loss: the loss of a batch, or of a replica's part of it.
          model: the model; its weights exist.
          optimizer: the optimizer.
          divide: returns the parts of a batch, one for each replica.
          signature: the specification of batches of any size; None for one graph for each size.
        """
        if self.strategy is None:
            signatures = None if signature is None else [signature]
            return tf.function(training_step(loss, model, optimizer), input_signature=signatures, autograph=False)
        strategy = self.strategy
        with strategy.scope():
            of_replica = training_step(loss, model, optimizer)

        def step(parts: list[Any]) -> tf.Tensor:
            of_replicas = strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group - self.here[0]]
            )
            losses = strategy.run(of_replica, args=(of_replicas,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        signatures = None if signature is None else [[signature] * len(self.here)]
        traced = tf.function(step, input_signature=signatures, reduce_retracing=signatures is None, autograph=False)

        def of_batch(batch: Any) -> tf.Tensor:
            parts = divide(batch, self.replicas)
            return traced([tf.nest.map_structure(tf.convert_to_tensor, parts[replica]) for replica in self.here])

        return of_batch


ONE = Distribution()


def over_replicas(number: tf.Tensor) -> tf.Tensor:
    """Return the sum of a number of each replica's part of a batch; it has no gradient."""
    number = tf.stop_gradient(number)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return number
    return context.all_reduce(tf.distribute.ReduceOp.SUM, number)


def mean(values: tf.Tensor) -> tf.Tensor:
    """Return the mean of values [B] of a batch or, in a replica, the part of the mean that its values contribute."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) / over_replicas(tf.cast(tf.size(values), values.dtype))


def on_this_machine(gpus: int) -> Distribution:
    """Return the replicas on the first GPUs of this machine, or one replica on the processor. Raises: ModelError."""
    choose_gpus(gpus)
    devices = [f"GPU:{number}" for number in range(gpus)]
    return Distribution(tf.distribute.MirroredStrategy(devices)) if len(devices) > 1 else ONE


def of_machines(machine: int, machines: Sequence[str]) -> Distribution:
    """Return the replicas on the chosen GPUs of all machines; it waits until all have called it.

    Args:
      machine: the number of this machine.
      machines: the machines, as `host:port`.

    Raises:
      ModelError: this process has used TensorFlow, so that the server of this machine cannot start.
    """
    cluster = tf.train.ClusterSpec({"worker": list(machines)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type="worker", task_id=machine, rpc_layer="grpc"
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ModelError(
            "training.machines: the trainer needs a process of its own, found one that has used TensorFlow. Run with "
            "`--workers 2`"
        ) from error
    return Distribution(strategy, machine, len(machines))


def choose_gpus(gpus: int) -> None:
    """Make only the first GPUs of this machine visible. Raises: ModelError if there are fewer."""
    found = tf.config.list_physical_devices("GPU")
    if len(found) < gpus:
        raise ModelError(
            f"training.gpus: should be at most the number of GPUs that TensorFlow finds, {len(found)}; found {gpus}. "
            "Install the CUDA libraries (pip install tensorflow[and-cuda]) and the driver, or set a lower number"
        )
    with contextlib.suppress(RuntimeError):  # a process that has used TensorFlow keeps its devices
        tf.config.set_visible_devices(found[:gpus], "GPU")
