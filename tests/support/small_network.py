"""A network of two layers, for tests of what is done with any network."""

import keras
import numpy as np

DETAILS = {
    "image_size": 16,
    "mask": "ground",
    "class_names": ["ground", "sky", "small_rock", "large_rock"],
}


def small_model(synchronized=False, num_classes=4):
    image = keras.Input([16, 16, 3])
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization(synchronized=synchronized)(x)
    return keras.Model(image, keras.layers.Conv2D(num_classes, 1)(x))


def images(count=2):
    return np.random.default_rng(0).random([count, 16, 16, 3], np.float32)
