"""SavedModel folders: for TensorFlow and its servers, and the way to LiteRT."""

import json
import pathlib
from typing import Any

import tensorflow as tf

from model.export.runtimes import SIGNATURE
from model.export.serving import Source

# TensorFlow's place for what others put into a SavedModel.
_DETAILS = pathlib.PurePath("assets.extra", "metadata.json")


def write(source: Source, path: pathlib.Path) -> None:
    """Writes a SavedModel into the folder `path`; nothing is there."""
    # keras.export.ExportArchive would write every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in source.model.variables]
    module.serve = source.function
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: module.serve})
    file = path / _DETAILS
    file.parent.mkdir()
    file.write_text(json.dumps(source.details, indent=2))


def details(path: pathlib.Path) -> dict[str, Any]:
    """Returns what a SavedModel says about itself."""
    return json.loads((path / _DETAILS).read_text())
