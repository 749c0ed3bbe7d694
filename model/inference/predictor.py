"""From images to class masks: the one path of evaluation, prediction and export."""

import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from lunar_tfds import settings
from lunar_tfds.image_arrays import row_strips
from lunar_tfds.palette import CLASS_NAMES
from model.inference.images import image_of_pillow, read_image
from model.inference.tiling import Tiling
from model.network import starter
from model.network.checkpoints import (
    CHECKPOINT_FOLDER,
    DEFAULT_WORKDIR,
    load_checkpoint,
    read_index,
)
from model.network.precision import (
    is_emulated_on_cpu,
    precision_of,
    set_precision,
    warn_if_emulated,
)
from model.network.unet import DEFAULT_ENCODER, ENCODERS, nearest_size
from pipeline.resize import resize_image

# Test-time augmentation: the network sees the image at these multiples of its trained
# size, each time as it is and mirrored left to right. Not upside down: the sky is up.
TTA_SCALES = (0.75, 1.0, 1.25)

# An image: uint8 [height, width, 3] RGB, a PIL image, or the path of an image file.
Image = np.ndarray | PIL.Image.Image | str | pathlib.Path
Size = tuple[int, int]  # Height and width, px.


def checkpoint_setting() -> Any:
    """Returns the field of --checkpoint, the same in every command."""
    return settings.setting(
        DEFAULT_WORKDIR,
        "A .keras file, a workdir: its best, starter, or starter_lite (small, fast).",
        is_path=True,
    )


def default_checkpoint() -> str:
    """Returns the default workdir where it holds a run's checkpoint, else 'starter'."""
    folder = pathlib.Path(DEFAULT_WORKDIR) / CHECKPOINT_FOLDER
    return DEFAULT_WORKDIR if read_index(folder) else starter.NAME


class Prediction(NamedTuple):
    """What the network sees in one image.

    Attributes:
        mask: uint8 [height, width], class ids in the order of the class names.
        probabilities: float32 [height, width, num_classes], in [0, 1], summing to 1.
    """

    mask: np.ndarray
    probabilities: np.ndarray

    @property
    def uncertainty(self) -> np.ndarray:
        """float32 [height, width]: entropy over its maximum, 0 certain, 1 guessing."""
        uncertainty = np.empty(self.mask.shape, np.float32)
        for rows in row_strips(self.mask.shape):
            p = np.clip(self.probabilities[rows], 1e-12, 1.0)
            entropy = -np.sum(p * np.log(p), axis=-1) / np.log(p.shape[-1])
            uncertainty[rows] = np.clip(entropy, 0, 1)
        return uncertainty


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
        checkpoint: a `.keras` file of train.py, its workdir, which means its best, or
            'starter', the model that comes with the project.
        tta: average over mirrored and scaled views (`TTA_SCALES`); six times the work.
        tile: cut images larger than `TILE_SIZE` into overlapping tiles of that size
            and blend them, for photos much larger than a training frame.
        batch_size: images (or tiles) run at once; None takes 8 on a GPU and 1 on a
            CPU.
        precision: a key of `POLICIES` in which the network computes; None takes the
            one that it was trained in, or float32 where a CPU would emulate that.
        network: callable from float32 [batch, S, S, 3] in [0, 1] to probabilities
            float32 [batch, S, S, num_classes], used in place of the checkpoint's
            network: an exported copy of it, for example.

    Attributes:
        class_names: tuple of str, by class id.
        image_size: S, px, the size the network was trained at.
        mask_kind: `ground` or `clean`, the labels it was trained on.
        details: dict, all that the checkpoint says about itself.
        path: pathlib.Path of the checkpoint file.
        precision: the key of `POLICIES` in which the network computes.
        model: the checkpoint's keras.Model.
        networks: list of (input size, function to probabilities), one per scale.

    Raises:
        ValueError: no such checkpoint, truncated, of another model, or made with
            other classes.
    """

    def __init__(
        self,
        checkpoint: str | pathlib.Path | None = None,
        *,
        tta: bool = False,
        tile: bool = False,
        batch_size: int | None = None,
        precision: str | None = None,
        network: Callable[[tf.Tensor], Any] | None = None,
    ):
        self.model, self.details, self.path = load_checkpoint(
            starter.NAME if checkpoint is None else checkpoint
        )
        self.class_names: tuple[str, ...] = tuple(self.details["class_names"])
        self.image_size: int = self.details["image_size"]
        self.mask_kind: str = self.details["mask"]
        self._check()
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        self.precision: str = precision or precision_of(self.model)
        if precision and not has_gpu:
            warn_if_emulated(precision)
        elif not has_gpu and is_emulated_on_cpu(self.precision):
            self.precision = "float32"
        if self.precision != precision_of(self.model):
            set_precision(self.model, self.precision)
        if batch_size is None:
            batch_size = 8 if has_gpu else 1
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1: got {batch_size}")
        if network is not None and tta:
            raise ValueError("tta needs the checkpoint's own network, at other sizes")
        self.batch_size, self.tta, self.tile = batch_size, tta, tile
        encoder = ENCODERS[self.details.get("encoder", DEFAULT_ENCODER)]
        sizes = [
            nearest_size(self.image_size * s, encoder.SIZE_MULTIPLE)
            for s in TTA_SCALES
            if tta or s == 1
        ]
        self.networks = [(size, network or self._trace(size)) for size in sizes]

    def __call__(self, images: Any, sizes: Any = None) -> Prediction | list[Prediction]:
        """Returns a `Prediction` for each image.

        Args:
            images: one image or a sequence of them, see `Image`; of any sizes.
            sizes: for each image the (height, width) of its prediction; None takes
                the image's own.

        Returns:
            A `Prediction` for a single image, a list of them for a sequence.

        Raises:
            ValueError: an array of another dtype or shape, or an unreadable file.
        """
        one = str, pathlib.Path, PIL.Image.Image
        if isinstance(images, one) or hasattr(images, "shape"):
            return next(self.predict_each([images], None if sizes is None else [sizes]))
        return list(self.predict_each(images, sizes))

    def predict_each(
        self, images: Iterable[Image], sizes: Iterable[Size] | None = None
    ) -> Iterator[Prediction]:
        """Yields a `Prediction` for each image, made when it is asked for.

        Of a batch, only what the network sees and gives is held, at the network's
        size: probabilities of a large photo take a gigabyte. Arguments and errors are
        those of a call.
        """
        pairs = _with_sizes(map(_as_image, images), sizes)
        if self.tile:
            for image, size in pairs:
                yield _predict(_resize_back(self._blend_tiles(image), size))
            return
        while batch := list(itertools.islice(pairs, self.batch_size)):
            views = self._views([image for image, _ in batch])
            wanted = [size for _, size in batch]
            del batch
            for view, size in zip(views, wanted, strict=True):
                yield _predict(self._merge(view, size))

    def _check(self) -> None:
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

    def _trace(self, size: int) -> Callable[[tf.Tensor], tf.Tensor]:
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
        def probabilities(images: tf.Tensor) -> tf.Tensor:
            logits = tf.cast(model(images, training=False), tf.float32)
            # One at a time: over a batch, some CPUs round by an image's place in it.
            return tf.stack([tf.nn.softmax(image) for image in tf.unstack(logits)])

        spec = tf.TensorSpec((self.batch_size, size, size, 3), tf.float32)
        return probabilities.get_concrete_function(spec)

    def _views(self, images: list[np.ndarray]) -> list[list[tf.Tensor]]:
        """Returns what the network sees in each of at most `batch_size` images.

        Returns:
            For each image, and each of `networks` of size S: probabilities, float32
            [S, S, C].
        """
        views: list[list[tf.Tensor]] = [[] for _ in images]
        for size, network in self.networks:
            inputs = [resize_image(image, size) for image in images]
            padding = self.batch_size - len(inputs)
            batch = tf.stack(inputs + [tf.zeros_like(inputs[0])] * padding)
            outputs = tf.convert_to_tensor(network(batch))
            if self.tta:
                mirrored = network(tf.reverse(batch, [2]))
                outputs = (outputs + tf.reverse(mirrored, [2])) / 2
            for index, view in enumerate(views):
                view.append(outputs[index])
        return views

    def _merge(self, view: list[tf.Tensor], size: Size) -> np.ndarray:
        """Returns the mean of an image's views at `size`, float32 [h, w, C]."""
        total = _resize_back(view[0], size)
        for output in view[1:]:
            for class_id, resized in _classes_at(output, size):
                total[..., class_id] += resized
        if len(view) > 1:
            total /= len(view)
        return total

    def _blend_tiles(self, image: np.ndarray) -> np.ndarray:
        """Returns probabilities of one image from overlapping tiles."""
        height, width = image.shape[:2]
        tiling = Tiling((height, width), len(self.class_names))
        if len(tiling.spans) == 1:
            return self._merge(self._views([image])[0], (height, width))
        # A batch at a time: a large photo has hundreds of tiles.
        for first in range(0, len(tiling.spans), self.batch_size):
            spans = tiling.spans[first : first + self.batch_size]
            for span, view in zip(
                spans, self._views([image[span] for span in spans]), strict=True
            ):
                tiling.add(span, self._merge(view, tiling.tile_size))
        return tiling.blended()


def _predict(probabilities: np.ndarray) -> Prediction:
    mask = np.empty(probabilities.shape[:2], np.uint8)
    for rows in row_strips(mask.shape):
        mask[rows] = probabilities[rows].argmax(axis=-1)
    return Prediction(mask, probabilities)


def _resize_back(probabilities: Any, size: Size) -> np.ndarray:
    """Returns probabilities [h, w, C] at `size`, bilinear with half-pixel centres."""
    if isinstance(probabilities, np.ndarray) and probabilities.shape[:2] == tuple(size):
        return probabilities
    result = np.empty((*size, probabilities.shape[-1]), np.float32)
    for class_id, resized in _classes_at(probabilities, size):
        result[..., class_id] = resized
    return result


def _classes_at(probabilities: Any, size: Size) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each class id and its probabilities at `size`, float32 [height, width].

    All at once would take a gigabyte more for a large photo.
    """
    for class_id in range(probabilities.shape[-1]):
        one = probabilities[..., class_id : class_id + 1]
        if tuple(one.shape[:2]) != tuple(size):
            one = tf.image.resize(one, size, antialias=False)
        yield class_id, np.asarray(one)[..., 0]  # The tensor's own memory.


def _with_sizes(
    images: Iterator[np.ndarray], sizes: Iterable[Size] | None
) -> Iterator[tuple[np.ndarray, Size]]:
    """Yields each image with the size wanted, its own where none is."""
    if sizes is not None:
        yield from zip(images, sizes, strict=True)
        return
    for image in images:
        height, width, _ = image.shape
        yield image, (height, width)


def _as_image(image: Image) -> np.ndarray:
    """Returns an array or a file as uint8 [height, width, 3]."""
    if isinstance(image, (str, pathlib.Path)):
        return read_image(image)
    if isinstance(image, PIL.Image.Image):
        return image_of_pillow(image)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "an image must be uint8 [height, width, 3] RGB: got "
            f"{image.dtype} {list(image.shape)}. Pass 0..255 values, or the file's path"
        )
    if not image.size:
        raise ValueError(f"an image must have pixels: got {list(image.shape)}")
    return image
