"""What every artifact computes, and what it says about itself."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.palette import CLASS_COLORS
from model.inference.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Source:
    """What an artifact is made from.

    Attributes:
        model: `keras.Model` from float32 [N, S, S, 3] in [0, 1] to logits; computes in
            float32, since neither ONNX nor LiteRT on a CPU knows bfloat16.
        image_size: S, px.
        details: what the artifact says about itself, JSON; see `details_of`.
        images: uint8 [S, S, 3] like those to come, from which formats of low precision
            learn the ranges of activations.
    """

    model: keras.Model
    image_size: int
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images: Sequence[np.ndarray] = ()

    @property
    def spec(self) -> tf.TensorSpec:
        """Of the input: `image` uint8 [N, S, S, 3]."""
        shape = (None, self.image_size, self.image_size, 3)
        return tf.TensorSpec(shape, tf.uint8, name="image")

    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `mask` and `probabilities` of a batch of images, see `formats`."""
        logits = self.model(tf.cast(image, tf.float32) / 255.0, training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        mask = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"mask": mask, "probabilities": probabilities}

    @property
    def function(self) -> Any:
        """`serve` as a TensorFlow function of that input."""
        return tf.function(self.serve, input_signature=[self.spec], autograph=False)


def details_of(predictor: Predictor) -> dict[str, Any]:
    """Returns what an artifact of a predictor's checkpoint says about itself, JSON.

    Returns:
        dict of `name`, `class_names` and `class_colors` (RGB, 0..255) by class id,
        `image_size` in px, `mask` (the kind of labels it learned), `checkpoint` and
        `checkpoint_sha256` of the file it was made from.
    """
    with predictor.path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "name": predictor.model.name,
        "class_names": list(predictor.class_names),
        "class_colors": [list(color) for color in CLASS_COLORS],
        "image_size": predictor.image_size,
        "mask": predictor.mask_kind,
        "checkpoint": predictor.path.name,
        "checkpoint_sha256": checksum,
    }
