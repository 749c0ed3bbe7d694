"""From images to class masks: the one path of evaluation, prediction and export."""

import pathlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.palette import CLASS_NAMES
from model.inference.images import read_image
from model.network.checkpoints import load_checkpoint
from pipeline.resize import resize_image

# Test-time augmentation: the network sees the image at these multiples of its trained
# size, each time as it is and mirrored left to right. Not upside down: the sky is up.
TTA_SCALES = (0.75, 1.0, 1.25)
# Height and width of a tile, px: a training frame, so that rocks have the size and
# proportions that the network knows.
TILE_SIZE = (480, 720)
# Share of a tile that its neighbour covers too, at least.
TILE_OVERLAP = 0.25
# The network's input size must be a multiple of this (four poolings).
_STRIDE = 16


class Prediction(NamedTuple):
    """What the network sees in one image.

    Attributes:
        mask: uint8 [height, width], class ids in the order of the class names.
        probabilities: float32 [height, width, num_classes], in [0, 1], summing to 1.
    """

    mask: np.ndarray
    probabilities: np.ndarray

    @property
    def uncertainty(self):
        """float32 [height, width]: entropy over its maximum, 0 certain, 1 guessing."""
        p = np.clip(self.probabilities, 1e-12, 1.0)
        entropy = -np.sum(p * np.log(p), axis=-1) / np.log(p.shape[-1])
        return np.clip(entropy, 0, 1).astype(np.float32)


class Predictor:
    """Segments images of any size with a trained checkpoint.

    Each image is resized to the trained size as in evaluation, the probabilities are
    resized back bilinearly to the image's own resolution, and the likeliest class is
    taken there. Batches are padded to `batch_size`, so an image's result never depends
    on its company. Thread-safe: the network is traced when the predictor is made, and
    a call changes nothing.

        predictor = Predictor("runs/vgg16_unet")
        prediction = predictor("photo.jpg")
        sky_share = (prediction.mask == predictor.class_names.index("sky")).mean()

    Args:
        checkpoint: a `.keras` file of train.py, or its workdir, which means its best.
        tta: average over mirrored and scaled views (`TTA_SCALES`); six times the work.
        tile: cut images larger than `TILE_SIZE` into overlapping tiles of that size
            and blend them, for photos much larger than a training frame.
        batch_size: images (or tiles) run at once; None takes 8 on a GPU and 1 on a
            CPU.
        network: callable from float32 [batch, S, S, 3] in [0, 1] to probabilities
            float32 [batch, S, S, num_classes], used in place of the checkpoint's
            network: an exported copy of it, for example.

    Attributes:
        class_names: tuple of str, by class id.
        image_size: S, px, the size the network was trained at.
        mask_kind: `ground` or `clean`, the labels it was trained on.
        details: dict, all that the checkpoint says about itself.
        path: pathlib.Path of the checkpoint file.
        model: the checkpoint's keras.Model.
        networks: list of (input size, function to probabilities), one per scale.

    Raises:
        ValueError: no such checkpoint, truncated, of another model, or made with
            other classes.
    """

    def __init__(
        self, checkpoint, *, tta=False, tile=False, batch_size=None, network=None
    ):
        self.model, self.details, self.path = load_checkpoint(checkpoint)
        self.class_names = tuple(self.details["class_names"])
        self.image_size = self.details["image_size"]
        self.mask_kind = self.details["mask"]
        self._check()
        if batch_size is None:
            batch_size = 8 if tf.config.list_physical_devices("GPU") else 1
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1: got {batch_size}")
        if network is not None and tta:
            raise ValueError("tta needs the checkpoint's own network, at other sizes")
        self.batch_size, self.tta, self.tile = batch_size, tta, tile
        scales = TTA_SCALES if tta else (1.0,)
        self.networks = [
            (size, network or self._trace(size)) for size in self._sizes(scales)
        ]

    def __call__(self, images, sizes=None):
        """Returns a `Prediction` for each image.

        Args:
            images: one image or a sequence of them, of any sizes: uint8
                [height, width, 3] RGB arrays, or paths of image files.
            sizes: for each image the (height, width) of its prediction; None takes
                the image's own.

        Returns:
            A `Prediction` for a single image, a list of them for a sequence.

        Raises:
            ValueError: an array of another dtype or shape, or an unreadable file.
        """
        if isinstance(images, (str, pathlib.Path)) or hasattr(images, "shape"):
            return self([images], None if sizes is None else [sizes])[0]
        images = [_as_image(image) for image in images]
        if sizes is None:
            sizes = [image.shape[:2] for image in images]
        if not self.tile:
            return [_predict(p) for p in self._probabilities(images, sizes)]
        return [
            _predict(_resize_back(self._blend_tiles(image), size))
            for image, size in zip(images, sizes, strict=True)
        ]

    def _check(self):
        """Raises ValueError unless the checkpoint segments the classes known here."""
        if self.class_names != CLASS_NAMES:
            raise ValueError(
                f"{self.path} was made with the classes {', '.join(self.class_names)}; "
                f"this version knows {', '.join(CLASS_NAMES)}. Train it again"
            )
        shape = self.model.input_shape
        expected = (self.image_size, self.image_size, 3)
        if len(shape) != 4 or any(
            have not in (None, want)
            for have, want in zip(shape[1:], expected, strict=True)
        ):
            raise ValueError(
                f"{self.path} takes {shape}, not [batch, {self.image_size}, "
                f"{self.image_size}, 3]: it is another model. Pass a file of train.py"
            )

    def _sizes(self, scales):
        """Returns the input sizes for these scales, multiples of the stride."""
        steps = self.image_size / _STRIDE
        return [max(round(steps * scale), 1) * _STRIDE for scale in scales]

    def _trace(self, size):
        """Returns the network for inputs of `size` px as a compiled function."""
        model = self.model
        if size != self.image_size:
            # The same layers, and so the same weights, called on another input.
            model = keras.models.clone_model(
                model,
                input_tensors=keras.Input((size, size, 3)),
                clone_function=lambda layer: layer,
            )

        @tf.function(autograph=False)
        def probabilities(images):
            logits = tf.cast(model(images, training=False), tf.float32)
            # One at a time: over a batch, some CPUs round by an image's place in it.
            return tf.stack([tf.nn.softmax(image) for image in tf.unstack(logits)])

        spec = tf.TensorSpec((self.batch_size, size, size, 3), tf.float32)
        return probabilities.get_concrete_function(spec)

    def _probabilities(self, images, sizes):
        """Returns float32 [height, width, C] at its size for each image."""
        results = []
        for first in range(0, len(images), self.batch_size):
            chosen = slice(first, first + self.batch_size)
            results += self._batch(images[chosen], sizes[chosen])
        return results

    def _batch(self, images, sizes):
        """Returns the probabilities of at most `batch_size` images."""
        totals = [0.0] * len(images)
        for size, network in self.networks:
            inputs = [resize_image(image, size) for image in images]
            padding = self.batch_size - len(inputs)
            inputs = tf.stack(inputs + [tf.zeros_like(inputs[0])] * padding)
            outputs = tf.convert_to_tensor(network(inputs))
            if self.tta:
                mirrored = network(tf.reverse(inputs, [2]))
                outputs = (outputs + tf.reverse(mirrored, [2])) / 2
            for index, native in enumerate(sizes):
                totals[index] += _resize_back(outputs[index], native)
        return [total / len(self.networks) for total in totals]

    def _blend_tiles(self, image):
        """Returns probabilities of one image from overlapping tiles."""
        height, width = (
            min(s, t) for s, t in zip(image.shape[:2], TILE_SIZE, strict=True)
        )
        corners = [
            (top, left)
            for top in tile_starts(image.shape[0], height)
            for left in tile_starts(image.shape[1], width)
        ]
        if len(corners) == 1:
            return self._probabilities([image], [image.shape[:2]])[0]
        window = blend_window(height, width)[..., np.newaxis]
        total = np.zeros((*image.shape[:2], len(self.class_names)), np.float32)
        weight = np.zeros((*image.shape[:2], 1), np.float32)
        for first in range(0, len(corners), self.batch_size):
            # A batch at a time: a large photo has hundreds of tiles.
            spans = [
                (slice(top, top + height), slice(left, left + width))
                for top, left in corners[first : first + self.batch_size]
            ]
            tiles = [image[span] for span in spans]
            for span, probabilities in zip(
                spans, self._batch(tiles, [(height, width)] * len(tiles)), strict=True
            ):
                total[span] += window * probabilities
                weight[span] += window
        return total / weight


def tile_starts(length, tile):
    """Returns where tiles start along one side, evenly spread to cover it all."""
    if length <= tile:
        return [0]
    step = tile * (1 - TILE_OVERLAP)
    count = int(np.ceil((length - tile) / step)) + 1
    return np.rint(np.linspace(0, length - tile, count)).astype(int).tolist()


def blend_window(height, width):
    """Returns a tile's weights, float32 [height, width] in (0, 1], largest inside.

    A squared sine along each side (Hann), at least 0.01 so that the image's own
    border, which one tile alone covers, divides well.
    """
    sides = [
        np.maximum(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, 0.01)
        for n in (height, width)
    ]
    return np.outer(*sides).astype(np.float32)


def _predict(probabilities):
    return Prediction(probabilities.argmax(axis=-1).astype(np.uint8), probabilities)


def _resize_back(probabilities, size):
    """Returns probabilities [h, w, C] at `size`, bilinear with half-pixel centres."""
    if tuple(probabilities.shape[:2]) == tuple(size):
        return np.asarray(probabilities)
    return tf.image.resize(probabilities, size, antialias=False).numpy()


def _as_image(image):
    """Returns an array or a file as uint8 [height, width, 3]."""
    if isinstance(image, (str, pathlib.Path)):
        return read_image(image)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "an image must be uint8 [height, width, 3] RGB: got "
            f"{image.dtype} {list(image.shape)}. Pass 0..255 values, or the file's path"
        )
    if not image.size:
        raise ValueError(f"an image must have pixels: got {list(image.shape)}")
    return image
