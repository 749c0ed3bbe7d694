"""VGG16-UNet: a VGG16 encoder, a transposed-convolution decoder, float32 logits.

Written with stock Keras layers only, so that a saved file loads anywhere Keras does
(TensorFlow or JAX) without custom objects, and this module needs no TensorFlow.
"""

import operator
import os
from collections.abc import Iterable, Sequence

import keras

from lunar_tfds.palette import CLASS_NAMES
from model.network import starter
from model.network.checkpoints import load_checkpoint

# Convolutions in each block of VGG16 (Simonyan and Zisserman 2015, configuration D)
# and their filters. Layers keep Keras's names: block3_conv2, block3_pool.
ENCODER_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# Blocks of a pretrained encoder that are not trained unless told otherwise.
FROZEN_BLOCKS = 4

# Widths of the decoder's levels, coarsest first.
DECODER_FILTERS = (256, 128, 64, 32)

# Sizes must divide by this: four pools of 2 up to block5_conv3.
SIZE_MULTIPLE = 16
# Side of the square input unless told otherwise, px.
IMAGE_SIZE = 512

# Mean of ImageNet's pixels as keras.applications.vgg16.preprocess_input subtracts
# it, in 0..255, order blue, green, red.
IMAGENET_BGR_MEAN = (103.939, 116.779, 123.68)

# Typical size of a preprocessed pixel. Random first filters are as much smaller:
# features of that size would drown the decoder's, and from scratch four epochs on 128
# drawn scenes of 96 px then ended at a mean IoU of 0.40 in place of 0.49.
PIXEL_SIZE = 80.0

# Slope below zero, as in Darknet; He initialisation assumes it is small.
LEAKY_RELU_SLOPE = 0.1

# Share of the old value kept by BatchNorm's moving averages at each step. 0.9 and not
# Keras's 0.99: the averages forget their initial 0 and 1 after some 30 steps in place
# of 300, so that validation in a short run scores what was learned. Even the coarsest
# decoder level averages 4,096 positions an image at 512 px, so 10 steps are enough.
BATCH_NORM_MOMENTUM = 0.9

IMAGENET_WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_WEIGHTS_MD5 = "6d6bbae143d832006294945121d1f1fc"


def build_vgg16_unet(
    num_classes: int = len(CLASS_NAMES),
    image_size: int | tuple[int | None, int | None] | None = IMAGE_SIZE,
    encoder_weights: str | os.PathLike[str] | None = "imagenet",
    frozen_blocks: int = FROZEN_BLOCKS,
    decoder_filters: Sequence[int] = DECODER_FILTERS,
    synchronized_batch_norm: bool = False,
    normalize_skips: bool = True,
    name: str = "vgg16_unet",
) -> keras.Model:
    """Returns the network: image in, one float32 logit per class and pixel out.

    One flat graph: `preprocess` (see `_preprocess`), VGG16 up to block5_conv3, four
    decoder levels (transposed convolution 2x2 of stride 2, concatenation with the
    encoder's normalized output of the same size, 3x3 convolution, BatchNormalization,
    LeakyReLU), and a 1x1 convolution. The decoder's convolutions have no bias: the
    normalization that follows would remove it. Under a mixed precision policy
    (`keras.config.set_dtype_policy`) the first and the last layer stay in float32.

    Args:
        num_classes: classes, 2 or more.
        image_size: pixels; an int for square images, a pair (height, width), or None
            for a size fixed by each call. Multiples of 16.
        encoder_weights: 'imagenet' downloads Keras's VGG16 once to ~/.keras/models;
            'starter' takes the encoder of the model that comes with the project; a
            path loads a file of VGG16 (.h5 or .weights.h5); None starts at random.
        frozen_blocks: the first N of the encoder's five blocks are not trained.
        decoder_filters: widths of the four decoder levels, coarsest first.
        synchronized_batch_norm: see `synchronize_batch_norm`.
        normalize_skips: puts a BatchNormalization on each skip. The decoder's own
            features are of size 1, the encoder's of any: far larger in weights that
            came from Caffe, as Keras's did (Liu et al. 2015, "ParseNet", section
            3.3), and then they drown the decoder's. See docs/training.md.
        name: of the model.

    Returns:
        keras.Model from float32 [batch, height, width, 3], RGB in [0, 1], to float32
        [batch, height, width, num_classes].

    Raises:
        ValueError: an argument breaks a rule above, or the weights cannot be had.
    """
    _check_arguments(num_classes, encoder_weights, frozen_blocks, decoder_filters)
    height, width = _height_and_width(image_size)
    image = keras.Input((height, width, 3), dtype="float32", name="image")
    features, skips = _encoder(_preprocess()(image))
    for level, filters in zip((4, 3, 2, 1), decoder_filters, strict=True):
        skip = skips[level - 1]
        if normalize_skips:
            skip = _normalization(f"decoder{level}_skip_norm")(skip)
        features = _decoder_level(features, skip, filters, level)
    logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(
        features
    )
    model = keras.Model(image, logits, name=name)
    if encoder_weights is not None:
        _load_encoder_weights(model, encoder_weights)
    freeze_encoder(model, frozen_blocks)
    if synchronized_batch_norm:
        synchronize_batch_norm(model)
    return model


def freeze_encoder(model: keras.Model, frozen_blocks: int) -> None:
    """Freezes the encoder's first `frozen_blocks` blocks, and trains the others.

    Call it before the training step is compiled: a traced step keeps the variables it
    was traced with.

    Args:
        model: what `build_vgg16_unet` or `keras.models.load_model` returned.
        frozen_blocks: 0 to 5.
    """
    for block, (convolutions, _) in enumerate(ENCODER_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            layer = model.get_layer(f"block{block}_conv{index}")
            layer.trainable = block > frozen_blocks


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


def nearest_size(pixels: float) -> int:
    """Returns the multiple of 16 nearest to `pixels`, at least 16."""
    return max(SIZE_MULTIPLE, round(pixels / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def is_network_size(pixels: int) -> str | None:
    """Returns what a side of the input must be, px, or None where it is that."""
    if pixels > 0 and pixels % SIZE_MULTIPLE == 0:
        return None
    return (
        f"must be a multiple of {SIZE_MULTIPLE}; the nearest is {nearest_size(pixels)}"
    )


def _without_synchronization(get_config):
    """Returns a `get_config` that says synchronized=False."""
    return lambda: {**get_config(), "synchronized": False}


def _check_arguments(num_classes, encoder_weights, frozen_blocks, decoder_filters):
    """Raises ValueError, naming rule and remedy, unless the arguments agree."""
    if num_classes < 2:
        raise ValueError(
            f"num_classes must be 2 or more: got {num_classes}. The background is a "
            "class of its own."
        )
    if frozen_blocks not in range(len(ENCODER_BLOCKS) + 1):
        raise ValueError(
            f"frozen_blocks must be 0 to {len(ENCODER_BLOCKS)}: got {frozen_blocks}."
        )
    if encoder_weights is None and frozen_blocks:
        raise ValueError(
            "frozen_blocks must be 0 when encoder_weights is None: got "
            f"{frozen_blocks}, which would freeze random filters. Pass "
            "encoder_weights='imagenet' or frozen_blocks=0."
        )
    if len(decoder_filters) != len(ENCODER_BLOCKS) - 1 or min(decoder_filters) < 1:
        raise ValueError(
            "decoder_filters must be four positive widths, coarsest level first: got "
            f"{tuple(decoder_filters)}. The default is {DECODER_FILTERS}."
        )


def _height_and_width(image_size):
    """Returns (height, width) of an int, a pair or None; checks the multiple of 16."""
    try:
        sides = image_size if isinstance(image_size, Iterable) else (image_size,) * 2
        # Integers of any kind, numpy's too.
        height, width = (None if s is None else operator.index(s) for s in sides)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_size must be an int, (height, width) or None: got {image_size}."
        ) from None
    for pixels in (height, width):
        if pixels is not None and is_network_size(pixels):
            raise ValueError(
                f"image_size must be a multiple of {SIZE_MULTIPLE}: got {pixels}. The "
                f"nearest is {nearest_size(pixels)}."
            )
    return height, width


def _preprocess():
    """Returns the layer that equals keras.applications.vgg16.preprocess_input.

    From RGB in [0, 1] to BGR in 0..255 with ImageNet's mean subtracted, as a 1x1
    convolution: exact in float32 (bfloat16 would be off by 0.68 grey levels), one
    node in ONNX, and no custom layer to load.
    """
    return keras.layers.Conv2D(
        3,
        1,
        trainable=False,
        dtype="float32",
        kernel_initializer=keras.initializers.Constant(
            [[[[0.0, 0.0, 255.0], [0.0, 255.0, 0.0], [255.0, 0.0, 0.0]]]]
        ),
        bias_initializer=keras.initializers.Constant(
            [-mean for mean in IMAGENET_BGR_MEAN]
        ),
        name="preprocess",
    )


def _encoder(features):
    """Returns block5_conv3's output and those of blocks 1 to 4 before their pools."""
    skips = []
    for block, (convolutions, filters) in enumerate(ENCODER_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            features = keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                # He's, for features of size 1 from pixels of size PIXEL_SIZE.
                kernel_initializer=keras.initializers.VarianceScaling(
                    2 / PIXEL_SIZE**2 if block == index == 1 else 2
                ),
                name=f"block{block}_conv{index}",
            )(features)
        if block < len(ENCODER_BLOCKS):
            skips.append(features)
            features = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(features)
    return features, skips


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


def imagenet_weights_file() -> str:
    """Returns the path of Keras's VGG16 ImageNet weights, downloaded at first use."""
    return keras.utils.get_file(
        IMAGENET_WEIGHTS_URL.rsplit("/", 1)[1],
        IMAGENET_WEIGHTS_URL,
        cache_subdir="models",
        file_hash=IMAGENET_WEIGHTS_MD5,
    )


def _load_encoder_weights(model, encoder_weights):
    """Copies VGG16 weights from 'imagenet', 'starter' or a file into `model`."""
    path = os.fspath(encoder_weights)
    if path == starter.NAME:
        _copy_encoder(load_checkpoint(path)[0], model)
        return
    if path == "imagenet":
        try:
            path = imagenet_weights_file()
        except Exception as error:  # get_file raises bare Exception when offline.
            raise ValueError(
                "encoder_weights='imagenet' needs a download that failed "
                f"({error}). Fetch {IMAGENET_WEIGHTS_URL} on a machine with a network "
                "and pass the file's path as encoder_weights."
            ) from error
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
        vgg16 = keras.applications.VGG16(include_top=False, weights=path)
    except Exception as error:  # h5py and Keras raise many kinds for a bad file.
        raise ValueError(
            f"encoder_weights holds no readable VGG16 without top: {path} ({error}). "
            f"Pass the file of {IMAGENET_WEIGHTS_URL}, or one written by "
            "keras.applications.VGG16(include_top=False).save_weights()."
        ) from error
    _copy_encoder(vgg16, model)


def _copy_encoder(source, model):
    """Copies the weights of VGG16's layers, by their names."""
    for block, (convolutions, _) in enumerate(ENCODER_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            model.get_layer(name).set_weights(source.get_layer(name).get_weights())
