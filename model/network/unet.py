"""The network: an encoder, a decoder of transposed convolutions, float32 logits.

Written with stock Keras layers only, so that a saved file loads anywhere Keras does
(TensorFlow or JAX) without custom objects, and this module needs no TensorFlow.
"""

import operator
import os
import re
from collections.abc import Iterable, Sequence

import keras

from lunar_tfds.palette import CLASS_NAMES
from model.network import efficientnet_lite0, starter, vgg16
from model.network.checkpoints import load_checkpoint

# The encoders, by the names that --encoder takes. A third one is a module like these.
ENCODERS = {"vgg16": vgg16, "efficientnet_lite0": efficientnet_lite0}
DEFAULT_ENCODER = "vgg16"
NUM_BLOCKS = 5  # Of each encoder. Names of its layers begin with block1 to block5.

# Widths of the decoder's levels, coarsest first. The light encoder has a level more,
# at the input's own size: its first skip has half of that.
DECODER_FILTERS = {
    "vgg16": (256, 128, 64, 32),
    "efficientnet_lite0": (160, 96, 64, 32, 16),
}
# Distances between the taps of the context's convolutions, positions.
CONTEXT_RATES = (2, 4)

# Side of the square input unless told otherwise, px.
IMAGE_SIZE = 512

# Slope below zero, as in Darknet; He initialisation assumes it is small.
LEAKY_RELU_SLOPE = 0.1

# Share of the old value kept by BatchNorm's moving averages at each step. 0.9 and not
# Keras's 0.99: the averages forget their initial 0 and 1 after some 30 steps in place
# of 300, so that validation in a short run scores what was learned. Even the coarsest
# decoder level averages 4,096 positions an image at 512 px, so 10 steps are enough.
BATCH_NORM_MOMENTUM = 0.9


def build_unet(
    num_classes: int = len(CLASS_NAMES),
    image_size: int | tuple[int | None, int | None] | None = IMAGE_SIZE,
    encoder_weights: str | os.PathLike[str] | None = "imagenet",
    frozen_blocks: int | None = None,
    decoder_filters: Sequence[int] | None = None,
    synchronized_batch_norm: bool = False,
    normalize_skips: bool = True,
    context: bool = False,
    encoder: str = DEFAULT_ENCODER,
) -> keras.Model:
    """Returns the network: image in, one float32 logit per class and pixel out.

    One flat graph: `preprocess`, the encoder, `context` where asked for, decoder levels
    (transposed convolution 2x2 of stride 2, concatenation with the encoder's output of
    the same size, convolution 3x3, BatchNormalization, LeakyReLU), and the logits. The
    decoder's convolutions have no bias: the normalization that follows would remove it.
    With the light encoder they are separable and two a level, ReLU6 takes LeakyReLU's
    place, and a last level without skip reaches the input's size. Under a mixed
    precision policy (`keras.config.set_dtype_policy`) the first and the last layer stay
    in float32.

    Args:
        num_classes: classes, 2 or more.
        image_size: pixels; an int for square images, a pair (height, width), or None
            for a size fixed by each call. Multiples of 16; light encoder: of 32.
        encoder_weights: 'imagenet' downloads Keras's VGG16 once to ~/.keras/models, or
            takes the light encoder's file of this project; 'starter' and 'starter_lite'
            take the encoder of a model that comes with the project; a path loads a file
            of weights (.h5); None starts at random.
        frozen_blocks: the first N of the encoder's five blocks are not trained. Their
            BatchNormalization, if any, uses its stored statistics. None for the
            encoder's default: 4 of VGG16, none of the light one.
        decoder_filters: widths of the decoder levels, coarsest first.
        synchronized_batch_norm: see `synchronize_batch_norm`.
        normalize_skips: puts a BatchNormalization on each skip of VGG16. The decoder's
            own features are of size 1, VGG16's of any: far larger in weights that came
            from Caffe, as Keras's did (Liu et al. 2015, "ParseNet", section 3.3), and
            then they drown the decoder's. See docs/training.md.
        context: adds what lies far away, and the mean of the whole image, to the
            encoder's last features (Chen et al. 2017, "DeepLabv3", section 3.3).
        encoder: a name in ENCODERS.

    Returns:
        keras.Model from float32 [batch, height, width, 3], RGB in [0, 1], to float32
        [batch, height, width, num_classes].

    Raises:
        ValueError: an argument breaks a rule above, or the weights cannot be had.
    """
    if encoder not in ENCODERS:
        raise ValueError(
            f"encoder must be one of {', '.join(ENCODERS)}: got {encoder}."
        )
    part = ENCODERS[encoder]
    if frozen_blocks is None:
        frozen_blocks = part.FROZEN_BLOCKS if encoder_weights is not None else 0
    filters = tuple(decoder_filters or DECODER_FILTERS[encoder])
    _check_arguments(num_classes, encoder, encoder_weights, frozen_blocks, filters)
    height, width = _height_and_width(image_size, part.SIZE_MULTIPLE)
    image = keras.Input((height, width, 3), dtype="float32", name="image")
    features, skips = part.encode(part.preprocess()(image))
    if context:
        features = _context(features)
    decode = _decoder if encoder == "vgg16" else _light_decoder
    features = decode(features, skips, filters, normalize_skips)
    kernel = (
        1 if encoder == "vgg16" else 3
    )  # The light decoder's finest level has none.
    logits = keras.layers.Conv2D(
        num_classes, kernel, padding="same", dtype="float32", name="logits"
    )(features)
    model = keras.Model(image, logits, name=f"{encoder}_unet")
    if encoder_weights is not None:
        _load_encoder_weights(model, encoder, encoder_weights)
    freeze_encoder(model, frozen_blocks)
    if synchronized_batch_norm:
        synchronize_batch_norm(model)
    return model


def freeze_encoder(model: keras.Model, frozen_blocks: int) -> None:
    """Freezes the encoder's first `frozen_blocks` blocks, and trains the others.

    Call it before the training step is compiled: a traced step keeps the variables it
    was traced with.

    Args:
        model: what `build_unet` or `keras.models.load_model` returned.
        frozen_blocks: 0 to 5.
    """
    for layer, block in encoder_layers(model):
        layer.trainable = block > frozen_blocks


def encoder_layers(model: keras.Model) -> list[tuple[keras.Layer, int]]:
    """Returns the layers of the encoder that have weights, each with its block."""
    found = ((layer, re.match(r"block(\d)_", layer.name)) for layer in model.layers)
    return [(layer, int(m.group(1))) for layer, m in found if m and layer.weights]


def synchronize_batch_norm(model: keras.Model) -> None:
    """Makes BatchNorm average over all replicas' images, in training only.

    Without it each replica normalizes by its own share of the batch and the saved
    moving averages differ from those that were scored. The switch is not part of the
    saved file: a file that holds `synchronized=True` loads under TensorFlow alone.
    After loading, call this again to train on several replicas.

    Args:
        model: a model with keras.layers.BatchNormalization layers.

    Raises:
        ValueError: the Keras backend is not TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "synchronized_batch_norm needs the TensorFlow backend: got "
            f"{keras.backend.backend()}. Leave it off, or set KERAS_BACKEND=tensorflow."
        )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            layer.get_config = _without_synchronization(layer.get_config)


def nearest_size(pixels: float, multiple: int = vgg16.SIZE_MULTIPLE) -> int:
    """Returns the multiple nearest to `pixels`, at least one of it."""
    return max(multiple, round(pixels / multiple) * multiple)


def is_network_size(pixels: int, multiple: int = vgg16.SIZE_MULTIPLE) -> str | None:
    """Returns what a side of the input must be, px, or None where it is that."""
    if pixels > 0 and pixels % multiple == 0:
        return None
    nearest = nearest_size(pixels, multiple)
    return f"must be a multiple of {multiple}; the nearest is {nearest}"


def _without_synchronization(get_config):
    """Returns a `get_config` that says synchronized=False."""
    return lambda: {**get_config(), "synchronized": False}


def _check_arguments(num_classes, encoder, encoder_weights, frozen_blocks, filters):
    """Raises ValueError, naming rule and remedy, unless the arguments agree."""
    if num_classes < 2:
        raise ValueError(
            f"num_classes must be 2 or more: got {num_classes}. The background is a "
            "class of its own."
        )
    if frozen_blocks not in range(NUM_BLOCKS + 1):
        raise ValueError(
            f"frozen_blocks must be 0 to {NUM_BLOCKS}: got {frozen_blocks}."
        )
    if encoder_weights is None and frozen_blocks:
        raise ValueError(
            "frozen_blocks must be 0 when encoder_weights is None: got "
            f"{frozen_blocks}, which would freeze random filters. Pass "
            "encoder_weights='imagenet' or frozen_blocks=0."
        )
    default = DECODER_FILTERS[encoder]
    if len(filters) != len(default) or min(filters) < 1:
        raise ValueError(
            f"decoder_filters must be {len(default)} positive widths, coarsest level "
            f"first: got {filters}. The default is {default}."
        )


def _height_and_width(image_size, multiple):
    """Returns (height, width) of an int, a pair or None; checks the multiple."""
    try:
        sides = image_size if isinstance(image_size, Iterable) else (image_size,) * 2
        # Integers of any kind, numpy's too.
        height, width = (None if s is None else operator.index(s) for s in sides)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_size must be an int, (height, width) or None: got {image_size}."
        ) from None
    for pixels in (height, width):
        if pixels is not None and is_network_size(pixels, multiple):
            raise ValueError(
                f"image_size must be a multiple of {multiple}: got {pixels}. The "
                f"nearest is {nearest_size(pixels, multiple)}."
            )
    return height, width


def _context(features):
    """Returns features plus what dilated convolutions and the image's mean add."""
    channels = features.shape[-1]
    parts = []
    for rate in CONTEXT_RATES:
        part = keras.layers.SeparableConv2D(
            128,
            3,
            padding="same",
            dilation_rate=rate,
            use_bias=False,
            name=f"context_rate{rate}",
        )(features)
        part = _normalization(f"context_rate{rate}_norm")(part)
        parts.append(keras.layers.ReLU(6.0, name=f"context_rate{rate}_relu")(part))
    local = keras.layers.Concatenate(name="context_concatenate")(parts)
    local = keras.layers.Conv2D(channels, 1, use_bias=False, name="context_local")(
        local
    )
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="context_mean")(
        features
    )
    mean = keras.layers.Conv2D(128, 1, activation="relu", name="context_hidden")(mean)
    mean = keras.layers.Conv2D(channels, 1, name="context_global")(mean)
    features = keras.layers.Add(name="context_add")([features, local])
    return keras.layers.Add(name="context_add_global")([features, mean])


def _decoder(features, skips, filters, normalize_skips):
    """Returns VGG16's decoder levels, 4 to 1, on the encoder's features."""
    for level, width in zip((4, 3, 2, 1), filters, strict=True):
        skip = skips[level - 1]
        if normalize_skips:
            skip = _normalization(f"decoder{level}_skip_norm")(skip)
        features = _decoder_level(features, skip, width, level)
    return features


def _light_decoder(features, skips, filters, normalize_skips):
    """Returns the light encoder's decoder levels, 5 to 1; 1 is of the input's size."""
    del normalize_skips  # The encoder's own normalization comes before each skip.
    for level, width in zip((5, 4, 3, 2, 1), filters, strict=True):
        prefix = f"decoder{level}"
        features = keras.layers.Conv2DTranspose(
            width,
            2,
            strides=2,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{prefix}_upsample",
        )(features)
        if level == 1:
            features = _normalization(f"{prefix}_norm")(features)
            return keras.layers.ReLU(6.0, name=f"{prefix}_activation")(features)
        features = keras.layers.Concatenate(name=f"{prefix}_concatenate")(
            [features, skips[level - 2]]
        )
        for index in (1, 2):
            features = keras.layers.SeparableConv2D(
                width,
                3,
                padding="same",
                use_bias=False,
                depthwise_initializer="he_normal",
                pointwise_initializer="he_normal",
                name=f"{prefix}_conv{index}",
            )(features)
            features = _normalization(f"{prefix}_norm{index}")(features)
            features = keras.layers.ReLU(6.0, name=f"{prefix}_activation{index}")(
                features
            )
    return features


def _decoder_level(features, skip, filters, level):
    """Returns features at `skip`'s size; `level` 4 is the coarsest, 1 the finest."""
    prefix = f"decoder{level}"
    features = keras.layers.Conv2DTranspose(
        filters,
        2,
        strides=2,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{prefix}_upsample",
    )(features)
    features = keras.layers.Concatenate(name=f"{prefix}_concatenate")([features, skip])
    features = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{prefix}_conv",
    )(features)
    features = _normalization(f"{prefix}_norm")(features)
    return keras.layers.LeakyReLU(
        negative_slope=LEAKY_RELU_SLOPE, name=f"{prefix}_activation"
    )(features)


def _normalization(name):
    """Returns a BatchNormalization layer with this network's momentum."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)


def _load_encoder_weights(model, encoder, encoder_weights):
    """Copies weights from 'imagenet', a starter or a file into the encoder."""
    path = os.fspath(encoder_weights)
    part = ENCODERS[encoder]
    if path in starter.FILES:
        source, details, _ = load_checkpoint(path)
        other = details.get("encoder", DEFAULT_ENCODER)
        if other != encoder:
            raise ValueError(
                f"encoder_weights={path} is a network on {other}, and encoder is "
                f"{encoder}. Pass encoder={other}, or encoder_weights='imagenet'."
            )
        _copy_encoder(source, model)
        return
    if path == "imagenet":
        path = part.imagenet_weights_file()
    if os.path.isdir(path):
        raise ValueError(
            f"encoder_weights must be a file: {path} is a folder. Pass the file of "
            "weights in it, its name ends in .h5"
        )
    if not os.path.isfile(path):
        raise ValueError(
            "encoder_weights must be 'imagenet', 'starter', None or a file: "
            f"{path} is not there."
        )
    try:
        source = part.read_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a bad file.
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(
            f"encoder_weights holds no readable weights of {encoder} without top: "
            f"{path} ({reason}). {part.FILE_REMEDY}"
        ) from error
    _copy_encoder(source, model)


def _copy_encoder(source, model):
    """Copies the weights of the encoder's layers, by their names."""
    for layer, _ in encoder_layers(model):
        layer.set_weights(source.get_layer(layer.name).get_weights())
