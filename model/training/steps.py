"""The compiled functions of a run: what happens on the devices, step by step."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model.network.metrics import confusion_matrix
from model.training.averaged_weights import AveragedWeights, BatchStatistics
from model.training.optimizers import clip_gradients
from model.training.strategies import check_xla

# A function (iterator, stop) that makes steps, see `Steps.training_call`.
TrainingCall = Callable[[Iterator, tf.Tensor], tuple[np.ndarray, np.ndarray]]


class Steps:
    """Builds the functions that train, measure and score `model` on all replicas.

    Each takes `stop`, float32, 1 where this worker was asked to stop, and returns the
    sum over all workers: they then stop at the same step.

    Args:
        model: see `trainer.Trainer`, as for the rest.
        optimizer: takes gradients already summed over replicas.
        loss: has `per_example(mask, logits)`, float32 [batch].
        strategy: `tf.distribute.Strategy`.
        num_classes: channels of the logits.
        global_batch_size: examples of a step over all replicas.
        clip_norm: largest norm of all gradients together; 0 leaves them.
        xla: compile the forward and backward pass with XLA.
        averaged_weights: what to update after each step, or None.

    Raises:
        ValueError: `xla` where it does not work.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Any,
        *,
        strategy: tf.distribute.Strategy,
        num_classes: int,
        global_batch_size: int,
        clip_norm: float,
        xla: bool,
        averaged_weights: AveragedWeights | None,
    ):
        if xla:
            check_xla(strategy)
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._strategy = strategy
        self._num_classes = num_classes
        self._global_batch_size = global_batch_size
        self._clip_norm = clip_norm
        self._xla = xla
        self._averaged_weights = averaged_weights
        self._calls: dict[int, TrainingCall] = {}
        self._trained: list[str] = []
        self.statistics = BatchStatistics(model)
        self.evaluate = tf.function(self._evaluate, autograph=False)
        self.measure = tf.function(self._measure, autograph=False)

    def training_call(self, num_steps: int) -> tuple[TrainingCall, bool]:
        """Returns the compiled function of `num_steps` steps, and whether it has run.

        It is built anew when a callback has changed which layers are trainable. It
        returns float32 [num_steps, 4], rows of loss, gradient norm, workers that want
        to stop and seconds waited for the input, and int64 [C, C], the counts.
        """
        trained = [variable.path for variable in self._model.trainable_variables]
        if trained != self._trained:
            self._trained, self._calls = trained, {}
        has_run = num_steps in self._calls
        if not has_run:
            build = self._one_step if num_steps == 1 else self._several_steps
            self._calls[num_steps] = build(self._training_step(), num_steps)
        return self._calls[num_steps], has_run

    def _training_step(self) -> Callable:
        """Returns a function of a global batch: [loss, norm, stops] and counts."""
        compiled = tf.function(self._gradients, jit_compile=True, autograph=False)
        gradients = compiled if self._xla else self._gradients
        replica_step = functools.partial(self._replica_step, gradients)

        def step(image, mask, stop):
            sums, counts = self._strategy.run(replica_step, args=(image, mask, stop))
            if self._averaged_weights:
                self._averaged_weights.update()
            counts = self._strategy.reduce("SUM", counts, axis=None)
            return self._strategy.experimental_local_results(sums)[0], counts

        return step

    def _one_step(self, step: Callable, num_steps: int) -> TrainingCall:
        compiled = tf.function(step, autograph=False)

        def call(iterator, stop):
            start = time.perf_counter()
            image, mask = next(iterator)
            waited = time.perf_counter() - start
            sums, counts = compiled(image, mask, stop)
            return np.append(sums.numpy(), waited)[np.newaxis], counts.numpy()

        return call

    def _several_steps(self, step: Callable, num_steps: int) -> TrainingCall:
        local = self._strategy.experimental_local_results
        # AutoGraph is for the loop below; rewriting the network, too, takes seconds.
        step = tf.autograph.experimental.do_not_convert(step)

        @tf.function
        def compiled(iterator, stop):
            results = tf.TensorArray(tf.float32, num_steps, element_shape=[4])
            counts = tf.zeros([self._num_classes] * 2, tf.int64)
            for index in tf.range(num_steps):
                start = tf.timestamp()
                with tf.control_dependencies([start]):
                    image, mask = next(iterator)
                with tf.control_dependencies([*local(image), *local(mask)]):
                    waited = tf.cast(tf.timestamp() - start, tf.float32)
                sums, step_counts = step(image, mask, stop)
                results = results.write(index, tf.concat([sums, [waited]], 0))
                counts += step_counts
            return results.stack(), counts

        def call(iterator, stop):
            results, counts = compiled(iterator, stop)
            return results.numpy(), counts.numpy()

        return call

    def _replica_step(self, gradients_of, image, mask, stop):
        """Applies one step; returns [loss, gradient norm, stops] and counts."""
        loss, gradients, logits = gradients_of(image, mask)
        # One sum over replicas: clipping, and the float16 overflow check, then see the
        # gradient of the global batch on every replica.
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        loss, stops = tf.unstack(
            context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack([loss, stop]))
        )
        norm = tf.linalg.global_norm(gradients) / self._optimizer.scale_loss(1.0)
        gradients = clip_gradients(gradients, norm, self._clip_norm)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return tf.stack([loss, norm, stops]), self._counts(mask, logits)

    def _gradients(self, image, mask):
        """Returns this replica's share of the loss and of the (scaled) gradients."""
        with tf.GradientTape() as tape:
            logits = self._model(image, training=True)
            losses = self._loss.per_example(mask, logits)
            loss = tf.reduce_sum(losses) / self._global_batch_size
            scaled = self._optimizer.scale_loss(loss)
        values = [variable.value for variable in self._model.trainable_variables]
        return loss, tape.gradient(scaled, values), logits

    def _evaluate(self, iterator, stop):
        """Returns [weighted loss, weight, stops] and counts of one global batch."""

        def replica_step(image, mask, sample_weight, stop):
            logits = self._model(image, training=False)
            losses = self._loss.per_example(mask, logits) * sample_weight
            sums = [tf.reduce_sum(losses), tf.reduce_sum(sample_weight), stop]
            return tf.stack(sums), self._counts(mask, logits, sample_weight)

        sums, counts = self._strategy.run(replica_step, args=(*next(iterator), stop))
        return (
            self._strategy.reduce("SUM", sums, axis=None),
            self._strategy.reduce("SUM", counts, axis=None),
        )

    def _measure(self, iterator, stop):
        """Returns the BatchNormalization statistics of one global batch, and stops."""

        def replica_step(image, stop):
            self._model(image, training=True)
            return tf.identity(stop)  # A value of its own on each replica, to sum.

        image, _ = next(iterator)
        with self.statistics.of_one_batch():
            stops = self._strategy.run(replica_step, args=(image, stop))
        values = [tf.identity(variable) for variable in self.statistics.variables]
        return values, self._strategy.reduce("SUM", stops, axis=None)

    def _counts(self, mask, logits, sample_weight=None):
        predicted_mask = tf.argmax(logits, -1, tf.int32)
        return confusion_matrix(
            mask, predicted_mask, sample_weight, num_classes=self._num_classes
        )
