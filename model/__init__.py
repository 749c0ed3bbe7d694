"""Network, losses, metrics, training loop, checkpoints, prediction."""

import lunar_tfds  # noqa: F401, first: Ctrl-C is one line from then on.
