"""Network, losses, metrics, training loop, checkpoints, prediction."""

import lunar_tfds  # noqa: F401, first: Ctrl-C is one line from then on.

# isort: split
import keras

# The networks need these, whatever ~/.keras/keras.json says.
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
