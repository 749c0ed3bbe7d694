"""Compiles Keras functions with the backend in use, TensorFlow or JAX.

Each is imported only where it is the backend, so that either runs where the other is
not installed.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def compile_function(function: Callable, xla: bool | None = None) -> Callable:
    """Return `function` of tensors, compiled.

    Args:
        function: of positional tensors, written with keras.ops and models.
        xla: whether TensorFlow compiles with XLA; None does so on a GPU. On two CPU
            cores a training step under XLA took three times as long. JAX always does.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=has_gpu() if xla is None else xla)


def compile_train_step(model: keras.Model, image: Any, mask: Any) -> Callable[[], Any]:
    """Return a function that does one training step on a batch and waits for nothing.

    The batch stays where it is: on the device, so that only the step is timed.

    Args:
        model: compiled keras.Model.
        image: float32 [batch, height, width, 3].
        mask: int32 [batch, height, width].

    Returns:
        Function without arguments that returns a tensor that is ready when the
        step's loss is.
    """
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "jax":
        return _JaxStep(model, image, mask)
    step = compile_function(lambda x, y: model.train_step((x, y))["loss"])
    return lambda: step(image, mask)


def compile_confusion_matrix() -> Callable | None:
    """Return the function from mask and logits to confusion counts.

    None under JAX: the counts that training keeps are TensorFlow's.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    from model.network.metrics import confusion_matrix

    return compile_function(
        lambda mask, logits: confusion_matrix(
            mask, keras.ops.argmax(logits, -1), num_classes=logits.shape[-1]
        )
    )


class _JaxStep:
    """A training step of Keras's JAX trainer; the state lives here between calls."""

    def __init__(self, model, image, mask):
        import jax

        self.data = (image, mask)
        self.step = jax.jit(model.train_step, donate_argnums=0)
        # Copies, for donation frees what it is given and the model keeps its own.
        self.state = jax.tree.map(
            lambda value: value.copy(),
            tuple(
                [variable.value for variable in variables]
                for variables in (
                    model.trainable_variables,
                    model.non_trainable_variables,
                    model.optimizer.variables,
                    model.metrics_variables,
                )
            ),
        )

    def __call__(self):
        logs, self.state = self.step(self.state, self.data)
        return logs["loss"]


def wait_for(tensor: Any) -> np.ndarray:
    """Return `tensor` as a float32 numpy array, so when it is ready."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def has_gpu() -> bool:
    """Return whether the backend sees a GPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def device_name() -> str:
    """Return what the computation runs on, for a report."""
    if keras.backend.backend() == "jax":
        import jax

        return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"{len(gpus)} x {details.get('device_name', 'GPU')}"
