"""Event files for TensorBoard, written without TensorBoard being installed."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.command_line import tensorflow_message
from lunar_tfds.image_arrays import to_png
from lunar_tfds.palette import CLASS_COLORS

EVENTS_FOLDER = "tensorboard"
# Pixels between the parts of a panel.
_GAP = 4


class EventFiles(keras.callbacks.Callback):
    """Writes every score, and image | mask | prediction panels, once an epoch.

    Training scores go to `WORKDIR/tensorboard/train`, those named `val_` to
    `WORKDIR/tensorboard/validation` under the same names, so that TensorBoard draws
    both in one chart. The panels show the model that was scored.

    Args:
        workdir: folder of the run.
        images: float32 [n, H, W, 3] in [0, 1], examples to show; n may be 0.
        masks: int [n, H, W], their class ids.

    Raises:
        OSError: here or at an epoch's end, when the files cannot be written.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        images: np.ndarray | Sequence = (),
        masks: np.ndarray | Sequence = (),
    ):
        super().__init__()
        self._folder = pathlib.Path(workdir) / EVENTS_FOLDER
        with self._clear_errors():
            self._writers = {
                name: tf.summary.create_file_writer(str(self._folder / name))
                for name in ("train", "validation")
            }
        self._images, self._masks = images, masks

    def on_epoch_end(self, epoch: int, logs: Mapping | None = None) -> None:
        """Writes the epoch's scores and panels."""
        panels = self._panels()
        train, validation = self._writers["train"], self._writers["validation"]
        with self._clear_errors():
            for name, value in (logs or {}).items():
                with (validation if name.startswith("val_") else train).as_default():
                    write_scalar(name.removeprefix("val_"), value, epoch + 1)
            if panels:
                with validation.as_default():
                    write_images("panels", panels, epoch + 1)
            train.flush()
            validation.flush()

    def on_train_end(self, logs: Mapping | None = None) -> None:
        """Closes the files."""
        with self._clear_errors():
            for writer in self._writers.values():
                writer.close()

    def _panels(self) -> list[np.ndarray]:
        """Returns the panels of the examples to show, as the model sees them now."""
        if not len(self._images):
            return []
        logits = self.model(np.asarray(self._images), training=False)
        parts = self._images, self._masks, np.argmax(logits, -1)
        return [panel(*example) for example in zip(*parts, strict=True)]

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turns TensorFlow's errors, of many kinds for a full disk, into OSError."""
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(
                f"could not write the event files in {self._folder}: "
                f"{tensorflow_message(error)}. Nothing saved earlier was changed. Free "
                "some space or make the folder writable, then start the same command "
                "again"
            ) from error


def panel(
    image: np.ndarray, mask: np.ndarray, predicted_mask: np.ndarray
) -> np.ndarray:
    """Returns image, mask and prediction side by side, uint8 [H, 3 W + gaps, 3]."""
    colors = np.array(CLASS_COLORS, np.uint8)
    pixels = np.clip(np.asarray(image) * 255 + 0.5, 0, 255).astype(np.uint8)
    gap = np.full([pixels.shape[0], _GAP, 3], 255, np.uint8)
    parts = [pixels, gap, colors[np.asarray(mask)], gap, colors[predicted_mask]]
    return np.concatenate(parts, axis=1)


def write_scalar(tag: str, value: float, step: int) -> None:
    """Writes a float to the default summary writer."""
    tf.summary.write(tag, float(value), step, metadata=_metadata("scalars"))


def write_images(tag: str, images: Sequence[np.ndarray], step: int) -> None:
    """Writes uint8 [H, W, 3] images of one size to the default summary writer."""
    height, width = images[0].shape[:2]
    encoded = [str(width), str(height), *(to_png(image) for image in images)]
    tf.summary.write(tag, tf.constant(encoded), step, metadata=_metadata("images"))


def _metadata(plugin_name: str) -> Any:
    """Returns what tells TensorBoard which of its plugins draws a value."""
    summary = tf.compat.v1.SummaryMetadata
    return summary(plugin_data=summary.PluginData(plugin_name=plugin_name))
