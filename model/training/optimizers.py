"""AdamW for the global batch, and its learning-rate schedule."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

# A kernel has at least two axes; biases and BatchNormalization's scales have one.
_KERNEL_RANK = 2


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly, then falls along half a cosine to 0.

    Step s, from 0, of `total_steps` has (s + 1) / warmup_steps of the peak while
    s < warmup_steps, and 0.5 (1 + cos(pi t)) of it afterwards, t in [0, 1) being the
    elapsed share of the remaining steps (Loshchilov and Hutter 2017, one period).

    Args:
        peak: highest learning rate, per step.
        total_steps: steps of the whole run, at least 1.
        warmup_steps: steps until the peak is reached; 0 starts there.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int = 0):
        super().__init__()
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the learning rate of `step` (integer scalar, from 0), float32."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / max(1, self.warmup_steps)
        falling_steps = max(1, self.total_steps - self.warmup_steps)
        elapsed = tf.clip_by_value((step - self.warmup_steps) / falling_steps, 0.0, 1.0)
        falling = 0.5 * (1 + tf.cos(math.pi * elapsed))
        return self.peak * tf.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for serialization."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


class ReducedAdamW(keras.optimizers.AdamW):
    """AdamW that takes gradients already summed over all replicas.

    Keras clips, and checks float16 gradients for overflow, on each replica before it
    sums them: the result then depends on the number of replicas. The trainer sums
    first and hands the same gradients to every replica, so that both act on the
    gradient of the global batch. Weight decay spares biases and BatchNormalization.
    Not for `Model.fit` on several replicas, which leaves the sum to the optimizer.

    Args:
        learning_rate: float or schedule.
        encoder_variables: variables that learn at `encoder_rate_scale` of the rate.
        encoder_rate_scale: factor on the learning rate, and so on the decay, of those.
        **settings: as `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        *,
        encoder_variables: Sequence[keras.Variable] = (),
        encoder_rate_scale: float = 1.0,
        **settings: Any,
    ):
        super().__init__(learning_rate, **settings)
        self._encoder_keys = {self._var_key(v) for v in encoder_variables}
        self._encoder_rate_scale = encoder_rate_scale

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the moments of `variables` and spares vectors from weight decay."""
        if not self.built:
            self.exclude_from_weight_decay(
                var_list=[v for v in variables if len(v.shape) < _KERNEL_RANK]
            )
        super().build(variables)

    def update_step(
        self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor
    ) -> None:
        """Decays and updates `variable`, at the encoder's rate if it is one of its."""
        if self._var_key(variable) in self._encoder_keys:
            learning_rate = learning_rate * self._encoder_rate_scale
        if self.weight_decay and self._use_weight_decay(variable):
            rate = tf.cast(learning_rate, variable.dtype)
            variable.assign_sub(variable * self.weight_decay * rate)
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables):
        """Leaves it to `update_step`: Keras would decay every kernel at one rate."""

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return list(grads_and_vars)


def build_optimizer(
    *,
    learning_rate: float,
    weight_decay: float,
    total_steps: int,
    warmup_steps: int = 0,
    float16: bool = False,
    encoder_variables: Sequence[keras.Variable] = (),
    encoder_rate_scale: float = 1.0,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a run; build it inside the strategy's scope.

    Args:
        learning_rate: peak of the `WarmupCosine` schedule.
        weight_decay: share of each kernel removed per step, times the learning rate.
        total_steps: steps of the whole run.
        warmup_steps: steps to the peak.
        float16: True wraps it in dynamic loss scaling.
        encoder_variables: variables that learn at `encoder_rate_scale` of the rate.
        encoder_rate_scale: factor on the learning rate of those.
    """
    optimizer = ReducedAdamW(
        WarmupCosine(learning_rate, total_steps, warmup_steps),
        weight_decay=weight_decay,
        encoder_variables=encoder_variables,
        encoder_rate_scale=encoder_rate_scale,
    )
    return keras.optimizers.LossScaleOptimizer(optimizer) if float16 else optimizer


def clip_gradients(
    gradients: list[tf.Tensor], norm: tf.Tensor, clip_norm: float
) -> list[tf.Tensor]:
    """Returns gradients scaled so that their norm together is at most `clip_norm`.

    Args:
        gradients: list of tensors.
        norm: their norm together, float32 scalar. Not finite, it makes them so too.
        clip_norm: largest norm; 0 leaves the gradients.
    """
    if not clip_norm:
        return gradients
    # Where the norm is infinite the scale is 0, and 0 times an infinite entry is nan.
    scale = clip_norm / tf.maximum(norm, clip_norm)
    return [gradient * tf.cast(scale, gradient.dtype) for gradient in gradients]
