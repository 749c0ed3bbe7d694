"""EfficientNet-Lite0 as an encoder (Liu 2020; Tan and Le 2019), for small machines.

EfficientNet without squeeze-and-excitation and with ReLU6, so that int8 keeps its
scores. Its five blocks are those of strides 2 to 32.
"""

import os
import pathlib

import keras

# Of each block: the stages (repeats, kernel, stride, expansion, filters) in it.
BLOCKS = (
    ((1, 3, 1, 1, 16),),
    ((2, 3, 2, 6, 24),),
    ((2, 5, 2, 6, 40),),
    ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
STEM_FILTERS = 32
# The whole encoder learns: it is small, and renders look unlike ImageNet's photos.
FROZEN_BLOCKS = 0
SIZE_MULTIPLE = 32
# Source: TensorFlow's efficientnet-lite, whose pixels are (p - 127) / 128 of 0..255.
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
EPSILON = 1e-3  # Of BatchNormalization, as the weights were trained with.
FILE = (
    pathlib.Path(__file__).resolve().parents[2]
    / "weights"
    / "efficientnet_lite0.weights.h5"
)
FILE_REMEDY = (
    f"Pass a file like {FILE.parent.name}/{FILE.name} of this project, or imagenet, "
    "which is that file."
)


def preprocess() -> keras.Layer:
    """Returns the layer from RGB in [0, 1] to the range that the weights know."""
    return keras.layers.Rescaling(
        255 / PIXEL_SCALE, -PIXEL_MEAN / PIXEL_SCALE, dtype="float32", name="preprocess"
    )


def encode(
    features: keras.KerasTensor,
) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """Returns (features, skips) of pixels.

    Args:
        features: float32 [batch, height, width, 3] of `preprocess`.

    Returns:
        Features at stride 32, and a list of those at strides 2, 4, 8 and 16.
    """
    skips = []
    filters = STEM_FILTERS
    for block, stages in enumerate(BLOCKS, start=1):
        prefix = f"block{block}"
        if block == 1:
            features = _convolution(features, filters, 3, f"{prefix}_stem", stride=2)
        else:
            skips.append(features)
        unit = 0
        for repeats, kernel, stride, expansion, width in stages:
            for repeat in range(repeats):
                unit += 1
                features = _inverted_residual(
                    features,
                    f"{prefix}_unit{unit}",
                    kernel,
                    stride if repeat == 0 else 1,
                    filters * expansion,
                    width,
                )
                filters = width
    return features, skips


def imagenet_weights_file() -> str:
    """Returns the path of the ImageNet weights, which come with this project.

    Raises:
        ValueError: the file is missing, as in an installed package.
    """
    if not FILE.is_file():
        raise ValueError(
            f"the encoder's weights {FILE} are missing. They are part of this "
            f"project's repository: get them by `git checkout -- {FILE.parent.name}`."
        )
    return str(FILE)


def read_weights(path: str | os.PathLike[str]) -> keras.Model:
    """Returns the encoder with the weights of a file that `save_weights` wrote.

    Raises:
        ValueError: the file holds other layers or shapes.
    """
    image = keras.Input((None, None, 3))
    encoder = keras.Model(image, encode(image)[0])
    encoder.load_weights(path)
    return encoder


def _inverted_residual(features, prefix, kernel, stride, expanded, filters):
    """Returns features after expansion, depthwise convolution and projection."""
    inputs = features
    if expanded > inputs.shape[-1]:
        features = _convolution(features, expanded, 1, f"{prefix}_expand")
    features = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{prefix}_depthwise",
    )(features)
    features = _normalized(features, f"{prefix}_depthwise")
    features = _convolution(features, filters, 1, f"{prefix}_project", is_linear=True)
    if stride == 1 and filters == inputs.shape[-1]:
        features = keras.layers.Add(name=f"{prefix}_add")([inputs, features])
    return features


def _convolution(features, filters, kernel, name, *, stride=1, is_linear=False):
    """Returns features after a convolution and its normalization."""
    features = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(features)
    return _normalized(features, name, is_linear)


def _normalized(features, name, is_linear=False):
    features = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(
        features
    )
    if is_linear:
        return features
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(features)
