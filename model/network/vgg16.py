"""VGG16 as an encoder (Simonyan and Zisserman 2015, configuration D)."""

import os

import keras

# Convolutions in each block and their filters. Layers keep Keras's names:
# block3_conv2, block3_pool.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# Blocks of pretrained weights that are not trained unless told otherwise.
FROZEN_BLOCKS = 4
# Sides of the input must divide by this: four pools of 2 up to block5_conv3.
SIZE_MULTIPLE = 16

# Mean of ImageNet's pixels as keras.applications.vgg16.preprocess_input subtracts
# it, in 0..255, order blue, green, red.
IMAGENET_BGR_MEAN = (103.939, 116.779, 123.68)

# Typical size of a preprocessed pixel. Random first filters are as much smaller:
# features of that size would drown the decoder's, and from scratch four epochs on 128
# drawn scenes of 96 px then ended at a mean IoU of 0.40 in place of 0.49.
PIXEL_SIZE = 80.0

IMAGENET_WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_WEIGHTS_MD5 = "6d6bbae143d832006294945121d1f1fc"
# What --encoder_weights=FILE may be.
FILE_REMEDY = (
    f"Pass the file of {IMAGENET_WEIGHTS_URL}, or one written by "
    "keras.applications.VGG16(include_top=False).save_weights()."
)


def preprocess() -> keras.Layer:
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


def encode(
    features: keras.KerasTensor,
) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """Returns (features, skips): block5_conv3, and blocks 1 to 4 before their pools.

    Args:
        features: float32 [batch, height, width, 3] of `preprocess`.

    Returns:
        Features at stride 16, and a list of those at strides 1, 2, 4 and 8.
    """
    skips = []
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
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
        if block < len(BLOCKS):
            skips.append(features)
            features = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(features)
    return features, skips


def imagenet_weights_file() -> str:
    """Returns the path of Keras's VGG16 ImageNet weights, downloaded at first use.

    Raises:
        ValueError: the download failed.
    """
    try:
        return keras.utils.get_file(
            IMAGENET_WEIGHTS_URL.rsplit("/", 1)[1],
            IMAGENET_WEIGHTS_URL,
            cache_subdir="models",
            file_hash=IMAGENET_WEIGHTS_MD5,
        )
    except Exception as error:  # get_file raises bare Exception when offline.
        raise ValueError(
            f"encoder_weights='imagenet' needs a download that failed ({error}). "
            f"Fetch {IMAGENET_WEIGHTS_URL} on a machine with a network and pass the "
            "file's path as encoder_weights."
        ) from error


def read_weights(path: str | os.PathLike[str]) -> keras.Model:
    """Returns VGG16 with the weights of a file; Keras raises errors of many kinds."""
    return keras.applications.VGG16(include_top=False, weights=path)
