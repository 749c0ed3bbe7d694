"""Event files for TensorBoard, written without TensorBoard being installed."""

import io
import pathlib

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

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
    """

    def __init__(self, workdir, images=(), masks=()):
        super().__init__()
        folder = pathlib.Path(workdir) / EVENTS_FOLDER
        self._writers = {
            name: tf.summary.create_file_writer(str(folder / name))
            for name in ("train", "validation")
        }
        self._images, self._masks = images, masks

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's scores and panels."""
        for name, value in logs.items():
            in_validation = name.startswith("val_")
            with self._writers["validation" if in_validation else "train"].as_default():
                write_scalar(name.removeprefix("val_"), value, epoch + 1)
        if len(self._images):
            logits = self.model(np.asarray(self._images), training=False)
            predicted_masks = np.argmax(logits, -1)
            panels = zip(self._images, self._masks, predicted_masks, strict=True)
            with self._writers["validation"].as_default():
                write_images("panels", [panel(*p) for p in panels], epoch + 1)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


def panel(image, mask, predicted_mask):
    """Returns image, mask and prediction side by side, uint8 [H, 3 W + gaps, 3]."""
    colors = np.array(CLASS_COLORS, np.uint8)
    pixels = np.clip(np.asarray(image) * 255 + 0.5, 0, 255).astype(np.uint8)
    gap = np.full([pixels.shape[0], _GAP, 3], 255, np.uint8)
    parts = [pixels, gap, colors[np.asarray(mask)], gap, colors[predicted_mask]]
    return np.concatenate(parts, axis=1)


def write_scalar(tag, value, step):
    """Writes a float to the default summary writer."""
    tf.summary.write(tag, float(value), step, metadata=_metadata("scalars"))


def write_images(tag, images, step):
    """Writes uint8 [H, W, 3] images of one size to the default summary writer."""
    height, width = images[0].shape[:2]
    encoded = [str(width), str(height), *(_png(image) for image in images)]
    tf.summary.write(tag, tf.constant(encoded), step, metadata=_metadata("images"))


def _png(image):
    """Returns uint8 [H, W, 3] as PNG bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _metadata(plugin_name):
    """Returns what tells TensorBoard which of its plugins draws a value."""
    summary = tf.compat.v1.SummaryMetadata
    return summary(plugin_data=summary.PluginData(plugin_name=plugin_name))
