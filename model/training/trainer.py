"""The training loop: one for every strategy, on ordinary Keras callbacks.

`Model.fit` of Keras 3 does not run on several workers, sums gradients after clipping
them, and cannot resume inside an epoch. Here a step is `strategy.run` of one function
whose gradients are those of the mean over the global batch (see `steps`).
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model.network.finiteness import first_not_finite
from model.network.metrics import scores_from_confusion
from model.training.averaged_weights import AveragedWeights
from model.training.run_state import Progress
from model.training.steps import Steps
from model.training.strategies import per_replica_batch_size

# Attributes of stock Keras callbacks (EarlyStopping) that a restart must carry over.
_CALLBACK_STATE = ("best", "best_epoch", "wait", "stopped_epoch")
# Examples that the statistics of averaged weights are measured on: as many as Wu and
# Johnson 2021, "Rethinking 'Batch' in BatchNorm", find enough for ImageNet.
STATISTICS_EXAMPLES = 1000
# Below it float16 overflows whatever the loss is scaled by: skipping is no remedy.
_LEAST_SCALE = 1.0
_REMEDY = (
    "What was saved before is kept: the same command with a lower --learning_rate goes "
    "on from there. Another --precision needs another --workdir; --initial_checkpoint "
    "starts it from this run's best"
)
# Function of (epoch, step): a distributed dataset, without end, from there on.
TrainingData = Callable[[int, int], tf.distribute.DistributedDataset]


class Interrupted(Exception):
    """The run was asked to stop; `Trainer.fit` has saved its state."""


class Trainer:
    """Trains `model` on every replica of `strategy`.

    Args:
        model: `keras.Model` from float32 images to float32 logits, built inside the
            scope of `strategy`, with synchronized BatchNormalization when there are
            several replicas.
        optimizer: takes gradients already summed over replicas (`build_optimizer`),
            built on every variable that will ever be trained.
        loss: has `per_example(mask, logits)`, float32 [batch].
        strategy: `tf.distribute.Strategy`.
        class_names: names of the logits' channels.
        global_batch_size: examples of a step over all replicas.
        clip_norm: largest norm of all gradients together; 0 leaves them.
        steps_per_call: steps that one call of the compiled function makes. More than
            1 saves the host's work between steps, which matters on GPU and TPU; under
            TensorFlow's op determinism only 1 works.
        xla: compile the forward and backward pass with XLA.
        averaged_weights: `AveragedWeights` to validate and save with, or None.

    Attributes:
        progress: `Progress`; assign a loaded one before `fit` to resume.
        steps: `Steps`, the compiled functions.

    Raises:
        ValueError: replicas cannot share the batch, or `xla` where it does not work.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Any,
        *,
        strategy: tf.distribute.Strategy,
        class_names: Sequence[str],
        global_batch_size: int,
        clip_norm: float,
        steps_per_call: int = 1,
        xla: bool = False,
        averaged_weights: AveragedWeights | None = None,
    ):
        per_replica_batch_size(global_batch_size, strategy)
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.strategy = strategy
        self.class_names = tuple(class_names)
        self.global_batch_size = global_batch_size
        self.steps_per_call = steps_per_call
        self.averaged_weights = averaged_weights
        self.progress = Progress(confusion=self._no_counts())
        self.steps = Steps(
            model,
            optimizer,
            loss,
            strategy=strategy,
            num_classes=len(self.class_names),
            global_batch_size=global_batch_size,
            clip_norm=clip_norm,
            xla=xla,
            averaged_weights=averaged_weights,
        )
        self._wants_stop: Callable[[], bool] = lambda: False
        # Callbacks look at model.optimizer; `fit` of Keras is not used.
        with strategy.scope():
            model.compile(optimizer=optimizer, loss=loss, jit_compile=False)

    @property
    def variables(self) -> list:
        """Every variable that a restart needs, in a fixed order."""
        averages = self.averaged_weights.averages if self.averaged_weights else []
        return [*self.model.variables, *self.optimizer.variables, *averages]

    def fit(
        self,
        training_data: TrainingData,
        evaluation_data: tf.distribute.DistributedDataset,
        *,
        epochs: int,
        steps_per_epoch: int,
        evaluation_steps: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        save_state: Callable[[], None] = lambda: None,
        wants_state: Callable[[], bool] = lambda: False,
        wants_stop: Callable[[], bool] = lambda: False,
    ) -> keras.callbacks.History:
        """Trains from `self.progress` to the end of `epochs`; returns the `History`.

        Args:
            training_data: function of (epoch, step) that returns a distributed
                dataset, without end, of (image, mask) from there on.
            evaluation_data: distributed dataset of (image, mask, sample_weight).
            epochs: total, those of earlier starts included.
            steps_per_epoch: steps.
            evaluation_steps: batches of `evaluation_data`.
            callbacks: Keras callbacks.
            save_state: called after each epoch's callbacks, and on an interruption.
            wants_state: asked after each call; True has the state saved there.
            wants_stop: asked before each call; once True on any worker, all save
                their state at the same step and raise `Interrupted`.

        Raises:
            Interrupted: see `wants_stop`.
            FloatingPointError: the loss or the gradient is not finite at a step, or a
                weight or the validation's loss at the end of an epoch or before the
                state is saved.
        """
        progress, model = self.progress, self.model
        self._wants_stop = wants_stop
        history = keras.callbacks.History()
        listeners = keras.callbacks.CallbackList(
            [*callbacks, history],
            model=model,
            epochs=epochs,
            steps=steps_per_epoch,
            verbose=1,  # Keras's ProgbarLogger asks for it.
        )
        model.stop_training = False
        listeners.on_train_begin()
        self._restore_callbacks(listeners, history)
        iterator = iter(self._data_from(training_data, steps_per_epoch))
        while progress.epoch < epochs and not model.stop_training:
            listeners.on_epoch_begin(progress.epoch)
            try:
                for _ in self._training_calls(iterator, steps_per_epoch, listeners):
                    if wants_state():
                        self._save(save_state)
                self._check_weights(self.variables)
                logs = self._training_logs(progress.step)
                with self._weights_to_score(training_data, steps_per_epoch):
                    self._check_weights(self.model.variables)
                    scores = self.evaluate(evaluation_data, evaluation_steps, listeners)
                    if evaluation_steps and not np.isfinite(scores["loss"]):
                        self._stop(f"the validation's loss is {scores['loss']}")
                    logs |= {f"val_{name}": value for name, value in scores.items()}
                    listeners.on_epoch_end(progress.epoch, logs)
            except Interrupted:  # By now the trained weights are back in the model.
                self._save(save_state)
                raise
            progress.next_epoch({"epoch": progress.epoch + 1, **logs})
            ended = model.stop_training or progress.epoch >= epochs
            progress.finished_of = epochs if ended else 0
            progress.callbacks = _callback_states(listeners)
            save_state()
        listeners.on_train_end(logs=progress.history[-1] if progress.history else {})
        return history

    def evaluate(
        self,
        evaluation_data: tf.distribute.DistributedDataset,
        steps: int,
        callbacks: keras.callbacks.CallbackList | None = None,
    ) -> dict[str, float]:
        """Returns `loss` and every score of the whole split.

        Args:
            evaluation_data: see `fit`.
            steps: batches of it.
            callbacks: told of every batch.

        Raises:
            Interrupted: see `fit`.
        """
        callbacks = callbacks or keras.callbacks.CallbackList(model=self.model)
        callbacks.on_test_begin()
        iterator = iter(evaluation_data)
        counts, sums = self._no_counts(), np.zeros(2)
        for step in range(steps):
            callbacks.on_test_batch_begin(step)
            results, batch_counts = self.steps.evaluate(iterator, self._asked_to_stop())
            *batch_sums, stops = results.numpy()
            sums, counts = sums + batch_sums, counts + batch_counts.numpy()
            callbacks.on_test_batch_end(step)
            if stops:  # On every worker at the same step.
                raise Interrupted
        loss = float(sums[0] / sums[1]) if sums[1] else float("nan")
        logs = {"loss": loss} | scores_from_confusion(counts, self.class_names)
        callbacks.on_test_end(logs)
        return logs

    def check_workers_agree(self) -> None:
        """Checks that every worker stands at the same step of the same epoch.

        Raises:
            ValueError: one of them found another state than the chief.
        """
        own = [self.progress.epoch, self.progress.step]

        @tf.function(autograph=False)
        def mean():
            position = self.strategy.run(lambda: tf.constant(own, tf.float32))
            return self.strategy.reduce("MEAN", position, axis=None)

        if mean().numpy().tolist() != own:
            raise ValueError(
                f"the workers do not stand at the same step: this one found epoch "
                f"{own[0]}, step {own[1]} in its workdir. Put --workdir on a file "
                "system that every worker sees"
            )

    def _training_calls(
        self,
        iterator: Iterator,
        steps_per_epoch: int,
        callbacks: keras.callbacks.CallbackList,
    ) -> Iterator[None]:
        """Makes the steps that are left of the epoch under way, a call at a time."""
        progress = self.progress
        while progress.step < steps_per_epoch:
            num_steps = min(self.steps_per_call, steps_per_epoch - progress.step)
            callbacks.on_train_batch_begin(progress.step)
            call, has_run = self.steps.training_call(num_steps)
            started = time.perf_counter()
            results, counts = call(iterator, self._asked_to_stop())
            losses, norms, stops, waited = results.T
            progress.confusion = progress.confusion + counts
            self._check_finite(losses, norms, steps_per_epoch)
            if has_run:  # The first call compiles: it says nothing about speed.
                progress.seconds += time.perf_counter() - started
                progress.waited += float(waited.sum())
                progress.timed_steps += num_steps
            progress.loss_sum += float(losses.sum(dtype=np.float64))
            progress.step += num_steps
            logs = {"loss": progress.loss_sum / progress.step}
            scores = scores_from_confusion(progress.confusion, self.class_names)
            logs["mean_iou"] = scores["mean_iou"]
            callbacks.on_train_batch_end(progress.step - 1, logs)
            if stops.any():  # On every worker at the same step.
                raise Interrupted
            yield

    @contextlib.contextmanager
    def _weights_to_score(
        self, training_data: TrainingData, steps_per_epoch: int
    ) -> Iterator[None]:
        """Has averaged weights, with statistics of their own, in the model if any."""
        if not self.averaged_weights:
            yield
            return
        with self.averaged_weights.in_use(), self.steps.statistics.kept():
            self._measure_statistics(training_data, steps_per_epoch)
            yield

    def _measure_statistics(
        self, training_data: TrainingData, steps_per_epoch: int
    ) -> None:
        """Measures BatchNormalization's statistics on batches of the epoch's own."""
        needed = -(-STATISTICS_EXAMPLES // self.global_batch_size)
        iterator = iter(training_data(self.progress.epoch, 0))
        batches = []
        for _ in range(min(needed, steps_per_epoch)):
            values, stops = self.steps.measure(iterator, self._asked_to_stop())
            batches.append([value.numpy() for value in values])
            if stops.numpy():  # On every worker at the same step.
                raise Interrupted
        self.steps.statistics.pool(batches)

    def _training_logs(self, steps: int) -> dict[str, float]:
        """Returns the logs of the epoch that has just been trained."""
        progress = self.progress
        logs = {"loss": progress.loss_sum / steps}
        logs |= scores_from_confusion(progress.confusion, self.class_names)
        logs["learning_rate"] = float(self.optimizer.learning_rate)
        if progress.seconds:
            images = progress.timed_steps * self.global_batch_size
            logs["images_per_second"] = images / progress.seconds
            logs["input_wait"] = progress.waited / progress.seconds
        return logs

    def _check_finite(
        self, losses: np.ndarray, norms: np.ndarray, steps_per_epoch: int
    ) -> None:
        """Raises FloatingPointError naming the first step that is not finite."""
        bad = ~np.isfinite(losses) | (~np.isfinite(norms) & (not self._skips()))
        if bad.any():
            index = int(np.argmax(bad))
            step = self.progress.step + index
            raise FloatingPointError(
                f"training stopped: at step {step + 1} of epoch "
                f"{self.progress.epoch + 1} (step "
                f"{self.progress.epoch * steps_per_epoch + step + 1} of the run) the "
                f"loss is {losses[index]} and the gradient's norm {norms[index]}. "
                f"{_REMEDY}"
            )

    def _skips(self) -> bool:
        """Returns whether loss scaling takes care of a gradient that overflows.

        It skips that step and halves the scale.
        """
        optimizer = self.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return False
        return float(optimizer.dynamic_scale) >= _LEAST_SCALE

    def _check_weights(self, variables: Sequence[Any]) -> None:
        """Raises FloatingPointError where a variable is not finite."""
        if name := first_not_finite(variables):
            self._stop(f"the variable {name} is not finite")

    def _stop(self, reason: str) -> None:
        raise FloatingPointError(
            f"training stopped: after step {self.progress.step} of epoch "
            f"{self.progress.epoch + 1} {reason}. {_REMEDY}"
        )

    def _save(self, save_state: Callable[[], None]) -> None:
        """Saves the state, unless it could not be gone on from."""
        self._check_weights(self.variables)
        save_state()

    def _data_from(
        self, training_data: TrainingData, steps_per_epoch: int
    ) -> tf.distribute.DistributedDataset:
        """Returns the training data from where the run stands."""
        epoch, step = self.progress.epoch, self.progress.step
        if step >= steps_per_epoch:  # Interrupted in validation.
            epoch, step = epoch + 1, 0
        return training_data(epoch, step)

    def _restore_callbacks(
        self,
        callbacks: keras.callbacks.CallbackList,
        history: keras.callbacks.History,
    ) -> None:
        """Gives callbacks back what they knew; on_train_begin has reset them."""
        for callback in callbacks.callbacks:
            state = self.progress.callbacks.get(type(callback).__name__, {})
            vars(callback).update(state)
        for row in self.progress.history:
            history.epoch.append(row["epoch"] - 1)
            for name, value in row.items():
                if name != "epoch":
                    history.history.setdefault(name, []).append(value)

    def _asked_to_stop(self) -> tf.Tensor:
        return tf.constant(float(self._wants_stop()))

    def _no_counts(self) -> np.ndarray:
        return np.zeros([len(self.class_names)] * 2, np.int64)


def _callback_states(callbacks: keras.callbacks.CallbackList) -> dict[str, dict]:
    """Returns, by class name, the attributes that stateful callbacks must keep."""
    states = {}
    for callback in callbacks.callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping):
            values = vars(callback)
            states[type(callback).__name__] = {
                name: float(values[name]) if name == "best" else values[name]
                for name in _CALLBACK_STATE
                if values.get(name) is not None
            }
    return states
