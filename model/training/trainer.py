"""The training loop: one for every strategy, on ordinary Keras callbacks.

`Model.fit` of Keras 3 does not run on several workers, sums gradients after clipping
them, and cannot resume inside an epoch. Here a step is `strategy.run` of one function
whose gradients are those of the mean over the global batch.
"""

import contextlib
import functools
import time

import keras
import numpy as np
import tensorflow as tf

from model.network.metrics import confusion_matrix, scores_from_confusion
from model.training.optimizers import clip_gradients
from model.training.run_state import Progress
from model.training.strategies import check_xla, per_replica_batch_size

# Attributes of stock Keras callbacks (EarlyStopping) that a restart must carry over.
_CALLBACK_STATE = ("best", "best_epoch", "wait", "stopped_epoch")


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
    """

    def __init__(
        self,
        model,
        optimizer,
        loss,
        *,
        strategy,
        class_names,
        global_batch_size,
        clip_norm=1.0,
        steps_per_call=1,
        xla=False,
        averaged_weights=None,
    ):
        per_replica_batch_size(global_batch_size, strategy)
        if xla:
            check_xla(strategy)
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.strategy = strategy
        self.class_names = tuple(class_names)
        self.global_batch_size = global_batch_size
        self.clip_norm = clip_norm
        self.steps_per_call = steps_per_call
        self.averaged_weights = averaged_weights
        self.progress = Progress(confusion=self._no_counts())
        self._xla = xla
        self._calls = {}
        self._trained = None
        self._evaluate_call = tf.function(self._evaluate_step)
        # Callbacks look at model.optimizer; `fit` of Keras is not used.
        with strategy.scope():
            model.compile(optimizer=optimizer, loss=loss, jit_compile=False)

    @property
    def variables(self):
        """Every variable that a restart needs, in a fixed order."""
        averages = self.averaged_weights.averages if self.averaged_weights else []
        return [*self.model.variables, *self.optimizer.variables, *averages]

    def fit(
        self,
        training_data,
        evaluation_data,
        *,
        epochs,
        steps_per_epoch,
        evaluation_steps,
        callbacks=(),
        save_state=lambda: None,
        wants_state=lambda: False,
        wants_stop=lambda: False,
    ):
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
            FloatingPointError: the loss or the gradient is not finite at a step.
        """
        progress, model = self.progress, self.model
        averaged = self.averaged_weights
        self._save_state, self._wants_state = save_state, wants_state
        self._wants_stop = wants_stop
        history = keras.callbacks.History()
        callbacks = keras.callbacks.CallbackList(
            [*callbacks, history],
            model=model,
            epochs=epochs,
            steps=steps_per_epoch,
            verbose=1,  # Keras's ProgbarLogger asks for it.
        )
        model.stop_training = False
        callbacks.on_train_begin()
        self._restore_callbacks(callbacks, history)
        iterator = iter(self._data_from(training_data, steps_per_epoch))
        while progress.epoch < epochs and not model.stop_training:
            callbacks.on_epoch_begin(progress.epoch)
            try:
                self._train_epoch(iterator, steps_per_epoch, callbacks)
                logs = self._training_logs(progress.step)
                with averaged.in_use() if averaged else contextlib.nullcontext():
                    scores = self.evaluate(evaluation_data, evaluation_steps, callbacks)
                    logs |= {f"val_{name}": value for name, value in scores.items()}
                    callbacks.on_epoch_end(progress.epoch, logs)
            except Interrupted:  # By now the trained weights are back in the model.
                save_state()
                raise
            progress.next_epoch({"epoch": progress.epoch + 1, **logs})
            ended = model.stop_training or progress.epoch >= epochs
            progress.finished_of = epochs if ended else 0
            progress.callbacks = _callback_states(callbacks)
            save_state()
        callbacks.on_train_end(logs=progress.history[-1] if progress.history else {})
        return history

    def evaluate(self, evaluation_data, steps, callbacks=None):
        """Returns `loss` and every score of the whole split, as a dict of floats.

        Raises:
            Interrupted: see `fit`.
        """
        callbacks = callbacks or keras.callbacks.CallbackList(model=self.model)
        callbacks.on_test_begin()
        iterator = iter(evaluation_data)
        counts, sums = self._no_counts(), np.zeros(2)
        for step in range(steps):
            callbacks.on_test_batch_begin(step)
            stop = tf.constant(float(self._stop_requested()))
            batch_sums, batch_counts = self._evaluate_call(iterator, stop)
            *batch_sums, stops = batch_sums.numpy()
            sums, counts = sums + batch_sums, counts + batch_counts.numpy()
            callbacks.on_test_batch_end(step)
            if stops:  # On every worker at the same step.
                raise Interrupted
        loss = float(sums[0] / sums[1]) if sums[1] else float("nan")
        logs = {"loss": loss} | scores_from_confusion(counts, self.class_names)
        callbacks.on_test_end(logs)
        return logs

    def check_workers_agree(self):
        """Checks that every worker stands at the same step of the same epoch.

        Raises:
            ValueError: one of them found another state than the chief.
        """
        own = [self.progress.epoch, self.progress.step]

        @tf.function
        def mean():
            position = self.strategy.run(lambda: tf.constant(own, tf.float32))
            return self.strategy.reduce("MEAN", position, axis=None)

        if mean().numpy().tolist() != own:
            raise ValueError(
                f"the workers do not stand at the same step: this one found epoch "
                f"{own[0]}, step {own[1]} in its workdir. Put --workdir on a file "
                "system that every worker sees"
            )

    def _train_epoch(self, iterator, steps_per_epoch, callbacks):
        """Makes the steps that are left of the epoch under way."""
        progress = self.progress
        while progress.step < steps_per_epoch:
            first = progress.step
            num_steps = min(self.steps_per_call, steps_per_epoch - first)
            callbacks.on_train_batch_begin(first)
            call, compiled = self._training_call(num_steps)
            started = time.perf_counter()
            stop = tf.constant(float(self._stop_requested()))
            results, counts = call(iterator, stop)
            losses, norms, stops, waited = results.T
            progress.confusion = progress.confusion + counts
            self._check_finite(losses, norms, steps_per_epoch)
            if compiled:  # The first call compiles: it says nothing about speed.
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
            if self._wants_state():
                self._save_state()

    def _training_call(self, num_steps):
        """Returns the compiled function of `num_steps` steps, and whether it has run.

        It is built anew when a callback has changed which layers are trainable.
        """
        trained = [variable.path for variable in self.model.trainable_variables]
        if trained != self._trained:
            self._trained, self._calls = trained, {}
        compiled = num_steps in self._calls
        if not compiled:
            self._calls[num_steps] = self._build_training_call(num_steps)
        return self._calls[num_steps], compiled

    def _build_training_call(self, num_steps):
        """Returns a function (iterator, stop) that makes `num_steps` steps.

        It returns float32 [num_steps, 4], rows of loss, gradient norm, workers that
        want to stop and seconds waited for the input, and the int64 counts.
        """
        gradients = tf.function(self._gradients, jit_compile=True)
        replica_step = functools.partial(
            self._replica_step, gradients if self._xla else self._gradients
        )

        def step(image, mask, stop):
            sums, counts = self.strategy.run(replica_step, args=(image, mask, stop))
            if self.averaged_weights:
                self.averaged_weights.update()
            counts = self.strategy.reduce("SUM", counts, axis=None)
            return self.strategy.experimental_local_results(sums)[0], counts

        one_step = tf.function(step)

        def one_call(iterator, stop):
            start = time.perf_counter()
            image, mask = next(iterator)
            waited = time.perf_counter() - start
            sums, counts = one_step(image, mask, stop)
            return np.append(sums.numpy(), waited)[np.newaxis], counts.numpy()

        @tf.function
        def many_steps(iterator, stop):
            results = tf.TensorArray(tf.float32, num_steps, element_shape=[4])
            counts = tf.zeros([len(self.class_names)] * 2, tf.int64)
            local = self.strategy.experimental_local_results
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

        def many_calls(iterator, stop):
            results, counts = many_steps(iterator, stop)
            return results.numpy(), counts.numpy()

        return one_call if num_steps == 1 else many_calls

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
        norm = tf.linalg.global_norm(gradients) / self.optimizer.scale_loss(1.0)
        gradients = clip_gradients(gradients, norm, self.clip_norm)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        predicted_mask = tf.argmax(logits, -1, tf.int32)
        counts = confusion_matrix(mask, predicted_mask, None, len(self.class_names))
        return tf.stack([loss, norm, stops]), counts

    def _gradients(self, image, mask):
        """Returns this replica's share of the loss and of the (scaled) gradients."""
        with tf.GradientTape() as tape:
            logits = self.model(image, training=True)
            losses = self.loss.per_example(mask, logits)
            loss = tf.reduce_sum(losses) / self.global_batch_size
            scaled = self.optimizer.scale_loss(loss)
        values = [variable.value for variable in self.model.trainable_variables]
        return loss, tape.gradient(scaled, values), logits

    def _evaluate_step(self, iterator, stop):
        """Returns [weighted loss, weight, stops] and counts of one global batch."""

        def replica_step(image, mask, sample_weight, stop):
            logits = self.model(image, training=False)
            losses = self.loss.per_example(mask, logits) * sample_weight
            sums = [tf.reduce_sum(losses), tf.reduce_sum(sample_weight), stop]
            predicted_mask = tf.argmax(logits, -1, tf.int32)
            return tf.stack(sums), confusion_matrix(
                mask, predicted_mask, sample_weight, len(self.class_names)
            )

        sums, counts = self.strategy.run(replica_step, args=(*next(iterator), stop))
        return (
            self.strategy.reduce("SUM", sums, axis=None),
            self.strategy.reduce("SUM", counts, axis=None),
        )

    def _training_logs(self, steps):
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

    def _check_finite(self, losses, norms, steps_per_epoch):
        """Raises FloatingPointError naming the first step that is not finite."""
        # With loss scaling a gradient that overflows is skipped, and the scale halved.
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        bad = ~np.isfinite(losses) | (~np.isfinite(norms) & (not scaled))
        if bad.any():
            index = int(np.argmax(bad))
            step = self.progress.step + index
            raise FloatingPointError(
                f"training stopped: at step {step + 1} of epoch "
                f"{self.progress.epoch + 1} (step "
                f"{self.progress.epoch * steps_per_epoch + step + 1} of the run) the "
                f"loss is {losses[index]} and the gradient's norm {norms[index]}. The "
                "checkpoints and the state of earlier steps are kept. Try a lower "
                "--learning_rate, or --precision=float32"
            )

    def _data_from(self, training_data, steps_per_epoch):
        """Returns the training data from where the run stands."""
        epoch, step = self.progress.epoch, self.progress.step
        if step >= steps_per_epoch:  # Interrupted in validation.
            epoch, step = epoch + 1, 0
        return training_data(epoch, step)

    def _restore_callbacks(self, callbacks, history):
        """Gives callbacks back what they knew; on_train_begin has reset them."""
        for callback in callbacks.callbacks:
            state = self.progress.callbacks.get(type(callback).__name__, {})
            vars(callback).update(state)
        for row in self.progress.history:
            history.epoch.append(row["epoch"] - 1)
            for name, value in row.items():
                if name != "epoch":
                    history.history.setdefault(name, []).append(value)

    def _stop_requested(self):
        return getattr(self, "_wants_stop", lambda: False)()

    def _no_counts(self):
        return np.zeros([len(self.class_names)] * 2, np.int64)


def _callback_states(callbacks):
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
