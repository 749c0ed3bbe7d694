"""The commands: flags, one-line errors, exit statuses."""

import os

import lunar_tfds  # noqa: F401, first: Ctrl-C is one line from then on.
from lunar_tfds import environment

if "KERAS_BACKEND" in os.environ:
    environment.check_backend()
