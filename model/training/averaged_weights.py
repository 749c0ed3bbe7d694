"""Averaged weights, and the BatchNormalization statistics that belong to them."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


class AveragedWeights:
    """Exponential moving average of variables, kept beside them on every replica.

    Create it inside the strategy's scope.

    Args:
        variables: list of `keras.Variable`.
        momentum: share of the old average kept at each step, in (0, 1).

    Attributes:
        averages: list of `tf.Variable`, one for each of `variables`.
    """

    def __init__(self, variables: Sequence[keras.Variable], momentum: float):
        self._strategy = tf.distribute.get_strategy()
        self._variables = [variable.value for variable in variables]
        self._momentum = momentum
        self.averages = [
            tf.Variable(
                variable.numpy(),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="average",
            )
            for variable in variables
        ]

    def update(self) -> None:
        """Moves every average toward its variable; call it outside `strategy.run`."""

        def move(average, variable):
            average.assign_add((1.0 - self._momentum) * (variable - average))

        for average, variable in zip(self.averages, self._variables, strict=True):
            self._strategy.extended.update(average, move, args=(variable,), group=False)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Puts the averages into the model for the length of a `with` block."""
        with _kept(self._variables):
            for average, variable in zip(self.averages, self._variables, strict=True):
                variable.assign(average.numpy())
            yield


class BatchStatistics:
    """The means and variances that a model's BatchNormalization layers infer with.

    Those that training leaves belong to the raw weights, not to averaged ones. A moving
    average of them does not fit either: it begins at mean 0 and variance 1, lags twice,
    and the variance under the mean of weights is below the mean of their variances.
    So they are measured anew with the weights in use, as `update_bn` of
    torch.optim.swa_utils does.

    Args:
        model: `keras.Model`.
    """

    def __init__(self, model: keras.Model):
        self._layers = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        self.variables = [
            variable.value
            for layer in self._layers
            for variable in (layer.moving_mean, layer.moving_variance)
        ]

    @contextlib.contextmanager
    def of_one_batch(self) -> Iterator[None]:
        """Traces a forward pass that leaves the statistics of its batch alone."""
        momenta = [layer.momentum for layer in self._layers]
        for layer in self._layers:
            layer.momentum = 0.0
        try:
            yield
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Returns a `with` block after which the statistics are what they were."""
        return _kept(self.variables)

    def pool(self, batches: Sequence[Sequence[np.ndarray]]) -> None:
        """Sets the statistics to those of several batches of one size together.

        Args:
            batches: for each batch, float32 [channels] for each of `variables`.
        """
        columns = [np.array(c, np.float64) for c in zip(*batches, strict=True)]
        means, variances = columns[::2], columns[1::2]
        for index, (mean, variance) in enumerate(zip(means, variances, strict=True)):
            self.variables[2 * index].assign(mean.mean(0))
            # Within the batches, and between them.
            self.variables[2 * index + 1].assign(variance.mean(0) + mean.var(0))


@contextlib.contextmanager
def _kept(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Gives variables their values back at the end of a `with` block."""
    values = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
